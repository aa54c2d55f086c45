#!/usr/bin/env python3
"""Who may include whom (docs/architecture.md). Prints each offence and exits 1 if there is one."""
import os
import re
import sys

ALLOWED = {
    "base": {"base"},
    "memory": {"base", "memory"},
    "cpu": {"base", "memory", "cpu"},
    "vt-emulation": {"base", "memory", "cpu", "vt-emulation"},
    "jit": {"base", "memory", "cpu", "jit"},
    "roms": {"base", "roms"},
    "platform": {"base", "memory", "platform", "roms"},
    "frontends": {"base", "memory", "cpu", "vt-emulation", "jit", "platform", "frontends", "roms"},
}
# Libraries with one home: (include prefix, folders that may name it).
LIBRARIES = [
    ("Zydis/", ("cpu/decode/", "cpu/semantics/", "testsuite/")),
    ("xbyak/", ("jit/host/x64/",)),
    ("SDL2/", ("frontends/sdl/",)),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def main():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    offences = 0
    for top in [*ALLOWED, "testsuite"]:
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if not name.endswith((".h", ".cpp", ".def")):
                    continue
                path = os.path.join(folder, name)
                shown = os.path.relpath(path, root)
                with open(path, encoding="utf8") as file:
                    for number, line in enumerate(file, 1):
                        m = INCLUDE.match(line)
                        if not m:
                            continue
                        target = m[2]
                        for prefix, homes in LIBRARIES:
                            if target.startswith(prefix) and not shown.startswith(homes):
                                print(f"{shown}:{number}: <{target}> belongs to {', '.join(homes)} only")
                                offences += 1
                        if m[1] == '"' and top in ALLOWED and target.split("/")[0] not in ALLOWED[top]:
                            print(f"{shown}:{number}: {top} may not include \"{target}\"")
                            offences += 1
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
