// The command line: QEMU's names and syntax for everything that exists here (docs/command-line.md).
// One row per option in options.cpp; both -x and --x are accepted.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "frontends/cli/option_values.h"

namespace rm::frontends {

struct DriveOption {
    std::string file;
    std::string interface = "ide";  // only ide
    std::string media = "disk";     // disk | cdrom
    int index = -1;                 // IDE position 0..3: channel * 2 + unit
    bool read_only = false, snapshot = false;
};

struct DebugExitOption {
    u16 iobase = 0x501;  // QEMU's defaults
    u16 iosize = 2;
};

struct TraceOption {
    std::string kind;             // vmexit | vmstat
    std::string file;             // empty: stderr
    std::string format = "text";  // text | jsonl
};

struct SymbolOption {
    unsigned level = 1;  // L1 or L2
    std::string file;    // ELF with a symbol table
};

struct Options {
    std::string cpu = "Westmere";
    u64 ram_bytes = u64{128} << 20;
    unsigned processors = 1;
    std::string kernel, initrd, append, bios;
    bool linux_entry64 = false;  // -machine linux-entry=64
    std::vector<DriveOption> drives;
    bool snapshot = false;
    std::string boot_order;  // QEMU letters: c d n
    bool boot_menu = false;
    std::vector<std::string> serials;  // char backend specs
    std::string debugcon;
    bool nographic = false, nodefaults = false;
    bool vga = true;
    std::optional<DebugExitOption> debug_exit;
    bool pc_testdev = false;
    bool no_reboot = false, no_shutdown = false, start_paused = false;
    std::vector<TraceOption> traces;
    std::vector<SymbolOption> symbols;
    unsigned singlestep_level = 0;         // 1 or 2: -singlestep L1, L2
    std::optional<u64> rtc_base;           // Unix seconds
    std::optional<unsigned> icount_shift;  // default 2
    bool translate = true;                 // -accel jit
    u64 code_bytes = u64{64} << 20;        // -accel jit,tb-size=
    bool threads = false;                  // -accel ...,thread=multi
    bool translator_statistics = false;
    bool perf_map = false;           // -perfmap
    bool verify = false;             // -accel verify
    u64 verify_step_from = ~u64{0};  // -accel verify,step-from=
    std::string screendump;          // file written when the machine ends: .ppm or text
    std::string log_items, log_file;
    std::vector<AddressRange> log_ranges;  // -dfilter
    std::optional<bool> sandbox;           // -sandbox; not given: on where it is possible
    bool help = false, version = false;
    std::string help_topic;  // "cpu": list models
};

// Errors are one line: they name the option, the value and the remedy (the nearest option).
Result<Options> parse_options(int argc, const char* const* argv);
std::string help_text();
// Every option's name without its dash, in the order of the help text.
std::vector<std::string> option_names();

}  // namespace rm::frontends
