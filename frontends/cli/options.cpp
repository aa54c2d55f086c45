#include "frontends/cli/options.h"

#include <algorithm>

#include "frontends/cli/option_values.h"

namespace rm::frontends {

namespace {

using Status = Result<void>;
using Parse = Status (*)(Options&, const std::string& value);

struct Row {
    const char* name;
    const char* argument;  // null: takes none
    const char* help;
    Parse parse;
};

// Properties that mean "on" without a value; every other one needs one.
constexpr std::string_view kFlags[] = {"readonly", "read-only", "snapshot", "menu", "strict"};

// Applies each key=value of a list from element `skip` on.
template <class Apply>
Status each_property(const char* option, const std::string& text, std::size_t skip,
                     const std::vector<std::string>& known, Apply apply) {
    const auto properties = split_properties(text);
    for (std::size_t n = skip; n < properties.size(); ++n) {
        const Property& p = properties[n];
        if (known.empty())
            return fail("%s: it has no properties, so not '%s'", option, p.key.c_str());
        if (std::find(known.begin(), known.end(), p.key) == known.end())
            return fail("%s: unknown property '%s' (the nearest is '%s')", option, p.key.c_str(),
                        nearest(p.key, known).c_str());
        const bool flag =
            std::find(std::begin(kFlags), std::end(kFlags), p.key) != std::end(kFlags);
        if (p.value.empty() && (p.has_value || !flag))
            return fail("%s: property '%s' needs a value", option, p.key.c_str());
        if (Status s = apply(p); !s) return s;
    }
    return {};
}

template <class T>
Status assign(T& target, Result<u64> value) {
    if (!value) return std::unexpected(value.error());
    target = static_cast<T>(*value);
    return {};
}
Status assign(bool& target, Result<bool> value) {
    if (!value) return std::unexpected(value.error());
    target = *value;
    return {};
}

Status only(const char* option, const std::string& value, const std::vector<std::string>& allowed) {
    if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return {};
    std::string list;
    for (const auto& a : allowed) list += (list.empty() ? "" : ", ") + a;
    return fail("%s: '%s' is not supported; supported: %s", option, value.c_str(), list.c_str());
}

Status parse_accel(Options& o, const std::string& v) {
    const auto p = split_properties(v);
    const std::string engine = p[0].has_value ? "" : p[0].key;
    if (Status s = only("-accel", engine, {"jit", "interp", "verify"}); !s) return s;
    o.verify = engine == "verify";
    o.translate = engine != "interp";
    const auto thread = [&](const Property& q) {
        o.threads = q.value == "multi";
        return only(("-accel " + engine + ",thread=").c_str(), q.value, {"single", "multi"});
    };
    if (!o.translate) return each_property("-accel interp", v, 1, {"thread"}, thread);
    std::string rest;
    for (std::size_t n = 1; n < p.size(); ++n) {
        if (p[n].key == "stats" && !p[n].has_value)
            o.translator_statistics = true;
        else
            rest += "," + p[n].key + (p[n].has_value ? "=" + p[n].value : "");
    }
    return each_property(
        "-accel jit", "jit" + rest, 1, {"tb-size", "step-from", "thread"},
        [&](const Property& q) -> Status {
            if (q.key == "thread") return thread(q);
            if (q.key == "step-from")
                return assign(o.verify_step_from,
                              parse_number("-accel verify,step-from=", q.value, 0, ~u64{0} >> 1));
            u64 mib = 0;
            if (Status s = assign(mib, parse_number("-accel jit,tb-size=", q.value, 1, 1024)); !s)
                return s;
            o.code_bytes = mib << 20;
            return {};
        });
}

// What thread=multi gives up: everything that needs one order of all instructions.
Status check_threads(const Options& o) {
    if (!o.threads) return {};
    constexpr const char* kWhy =
        "with -accel ...,thread=multi processors run at the same time, by the host's clock; leave "
        "one of the two out";
    for (std::string_view rest = o.log_items; !rest.empty();) {
        const auto comma = rest.find(',');
        if (rest.substr(0, comma) == "hash")
            return fail("-d hash: no two runs are equal; %s", kWhy);
        rest = comma == rest.npos ? "" : rest.substr(comma + 1);
    }
    if (o.verify) return fail("-accel verify compares two equal runs; %s", kWhy);
    if (o.singlestep_level) return fail("-singlestep needs one order of instructions; %s", kWhy);
    if (o.icount_shift) return fail("-icount: %s", kWhy);
    return {};
}

Status parse_machine(Options& o, const std::string& v) {
    const auto p = split_properties(v);
    const bool typed = !p[0].has_value || p[0].key == "type";  // else only properties, as in QEMU
    if (typed)
        if (Status s =
                only("-machine", p[0].has_value ? p[0].value : p[0].key, {"pc", "pc-i440fx"});
            !s)
            return s;
    return each_property("-machine", v, typed ? 1 : 0, {"accel", "linux-entry"},
                         [&](const Property& q) {
                             if (q.key == "accel") return parse_accel(o, q.value);
                             o.linux_entry64 = q.value == "64";
                             return only("-machine linux-entry=", q.value, {"real", "64"});
                         });
}

Status parse_smp(Options& o, const std::string& v) {
    const auto p = split_properties(v);
    const std::string first = p[0].has_value ? "" : p[0].key;
    unsigned count = 0, cores = 0, most = 8;
    if (!first.empty())
        if (Status s = assign(count, parse_number("-smp", first, 1, 8)); !s) return s;
    Status s = each_property(
        "-smp", v, first.empty() ? 0 : 1, {"cpus", "cores", "sockets", "threads", "maxcpus"},
        [&](const Property& q) {
            unsigned n = 0;
            if (Status r = assign(n, parse_number("-smp " + q.key + "=", q.value, 1, 8)); !r)
                return r;
            if (q.key == "cpus") count = n;
            if (q.key == "cores") cores = n;
            if (q.key == "maxcpus") most = n;
            if ((q.key == "sockets" || q.key == "threads") && n != 1)
                return Status(
                    fail("-smp %s=%u: the machine has one socket of single-threaded cores",
                         q.key.c_str(), n));
            return Status{};
        });
    if (!s) return s;
    if (count && cores && count != cores)
        return fail("-smp %s: %u processors are not %u cores of one socket", v.c_str(), count,
                    cores);
    o.processors = count ? count : std::max(cores, 1u);
    if (o.processors > most)
        return fail("-smp %s: more processors than maxcpus=%u", v.c_str(), most);
    return {};
}

Status parse_memory(Options& o, const std::string& v) {
    const auto p = split_properties(v);
    if (p.size() > 1) return fail("-m %s: memory cannot be added later, so only a size", v.c_str());
    return assign(o.ram_bytes, parse_memory_size("-m", p[0].key == "size" ? p[0].value : v));
}

Status add_drive(Options& o, const std::string& file, int index, const char* media) {
    DriveOption d;
    d.file = file;
    d.index = index;
    d.media = media;
    d.read_only = d.media == "cdrom";
    o.drives.push_back(d);
    return {};
}

Status parse_drive(Options& o, const std::string& v) {
    DriveOption d;
    Status s =
        each_property("-drive", v, 0,
                      {"file", "format", "if", "media", "index", "readonly", "read-only",
                       "snapshot", "id", "cache"},
                      [&](const Property& q) -> Status {
                          if (q.key == "file") d.file = q.value;
                          if (q.key == "format") return only("-drive format=", q.value, {"raw"});
                          if (q.key == "if") return only("-drive if=", q.value, {"ide"});
                          if (q.key == "media") {
                              d.media = q.value;
                              return only("-drive media=", q.value, {"disk", "cdrom"});
                          }
                          if (q.key == "index")
                              return assign(d.index, parse_number("-drive index=", q.value, 0, 3));
                          if (q.key == "readonly" || q.key == "read-only")
                              return assign(d.read_only, parse_on_off("-drive readonly=", q.value));
                          if (q.key == "snapshot")
                              return assign(d.snapshot, parse_on_off("-drive snapshot=", q.value));
                          return {};
                      });
    if (!s) return s;
    if (d.file.empty()) return fail("-drive %s: no file= given", v.c_str());
    if (d.media == "cdrom") d.read_only = true;
    o.drives.push_back(d);
    return {};
}

Status parse_boot(Options& o, const std::string& v) {
    const auto p = split_properties(v);
    std::size_t skip = 0;
    if (!p.empty() && !p[0].has_value) {
        o.boot_order = p[0].key;
        skip = 1;
    }
    Status s = each_property(
        "-boot", v, skip, {"order", "once", "menu", "strict"}, [&](const Property& q) -> Status {
            if (q.key == "order" || q.key == "once") o.boot_order = q.value;
            if (q.key == "menu") return assign(o.boot_menu, parse_on_off("-boot menu=", q.value));
            return {};
        });
    if (!s) return s;
    for (char c : o.boot_order)
        if (c != 'a' && c != 'c' && c != 'd' && c != 'n')
            return fail("-boot: '%c' is not a boot device (c disk, d CD-ROM)", c);
    return {};
}

Status parse_device(Options& o, const std::string& v) {
    const auto p = split_properties(v);
    const std::string name = p[0].key;
    const std::vector<std::string> known{"isa-debug-exit", "pc-testdev", "isa-debugcon"};
    if (std::find(known.begin(), known.end(), name) == known.end())
        return fail("-device: '%s' does not exist here (the nearest is '%s')", name.c_str(),
                    nearest(name, known).c_str());
    if (name == "pc-testdev") {
        o.pc_testdev = true;
        return each_property("-device pc-testdev", v, 1, {},
                             [](const Property&) { return Status{}; });
    }
    if (name == "isa-debugcon")
        return fail("-device isa-debugcon: use -debugcon BACKEND (ports 0x402 and 0xE9)");
    DebugExitOption d;
    Status s =
        each_property("-device isa-debug-exit", v, 1, {"iobase", "iosize"}, [&](const Property& q) {
            return q.key == "iobase"
                       ? assign(d.iobase,
                                parse_number("-device isa-debug-exit,iobase=", q.value, 0, 0xFFFF))
                       : assign(d.iosize,
                                parse_number("-device isa-debug-exit,iosize=", q.value, 1, 8));
        });
    if (!s) return s;
    o.debug_exit = d;
    return {};
}

Status parse_trace(Options& o, const std::string& v) {
    const auto p = split_properties(v);
    TraceOption t;
    t.kind = p[0].key;
    if (Status s = only("-trace", t.kind, {"vmexit", "vmstat"}); !s) return s;
    Status s = each_property("-trace", v, 1, {"file", "format"}, [&](const Property& q) -> Status {
        if (q.key == "file") t.file = q.value;
        if (q.key == "format") {
            t.format = q.value;
            return only("-trace format=", q.value, {"text", "jsonl"});
        }
        return {};
    });
    if (!s) return s;
    o.traces.push_back(t);
    return {};
}

Status parse_level(const char* option, const std::string& text, unsigned& level) {
    if (text == "L1")
        level = 1;
    else if (text == "L2")
        level = 2;
    else
        return fail("%s: '%s' is not a level; levels are L1 (the hypervisor) and L2 (its guest)",
                    option, text.c_str());
    return {};
}

Status parse_symbols(Options& o, const std::string& v) {
    for (const Property& p : split_properties(v)) {
        SymbolOption s;
        if (Status r = parse_level("-symbols", p.key, s.level); !r) return r;
        if (p.value.empty()) return fail("-symbols %s: give L1=FILE or L2=FILE", v.c_str());
        s.file = p.value;
        o.symbols.push_back(s);
    }
    return {};
}

Status parse_rtc(Options& o, const std::string& v) {
    return each_property("-rtc", v, 0, {"base", "clock"}, [&](const Property& q) -> Status {
        if (q.key == "clock") return only("-rtc clock=", q.value, {"vm"});
        if (q.value == "utc" || q.value == "localtime")
            return fail(
                "-rtc base=%s would make every run different; give a date (YYYY-MM-DDThh:mm:ss)",
                q.value.c_str());
        auto date = parse_date(q.value);
        if (!date) return std::unexpected(date.error());
        o.rtc_base = *date;
        return {};
    });
}

Status parse_icount(Options& o, const std::string& v) {
    return each_property("-icount", v, 0, {"shift"}, [&](const Property& q) {
        unsigned shift = 0;
        const Status s = assign(shift, parse_number("-icount shift=", q.value, 0, 10));
        o.icount_shift = shift;
        return s;
    });
}

template <std::string Options::*Member>
Status set_string(Options& o, const std::string& v) {
    o.*Member = v;
    return {};
}
template <bool Options::*Member, bool Value = true>
Status set_flag(Options& o, const std::string&) {
    o.*Member = Value;
    return {};
}

constexpr Row kRows[] = {
    {"machine", "pc[,linux-entry=real|64]",
     "the machine; only pc (i440FX + PIIX3). How a bzImage is entered (default real)",
     parse_machine},
    {"M", "pc", "same as -machine", parse_machine},
    {"cpu", "MODEL[,+f][,-f]", "CPU model with features added or removed; 'help' lists them",
     [](Options& o, const std::string& v) -> Status {
         o.cpu = v;
         if (v == "help" || v == "?") o.help_topic = "cpu";
         return {};
     }},
    {"m", "SIZE", "guest memory, in MiB or with K, M, G (default 128M)", parse_memory},
    {"smp", "N", "1 to 8 processors", parse_smp},
    {"kernel", "FILE", "multiboot 1/2, Linux bzImage or PVH ELF to start",
     set_string<&Options::kernel>},
    {"initrd", "FILES", "initial ramdisk, or modules \"file args,file args\" (,, for a comma)",
     set_string<&Options::initrd>},
    {"append", "TEXT", "command line of the kernel", set_string<&Options::append>},
    {"bios", "FILE", "firmware instead of the seabios package's", set_string<&Options::bios>},
    {"hda", "FILE", "raw image as IDE disk 0 (-hdb, -hdc, -hdd: the others)",
     [](Options& o, const std::string& v) { return add_drive(o, v, 0, "disk"); }},
    {"hdb", "FILE", nullptr,
     [](Options& o, const std::string& v) { return add_drive(o, v, 1, "disk"); }},
    {"hdc", "FILE", nullptr,
     [](Options& o, const std::string& v) { return add_drive(o, v, 2, "disk"); }},
    {"hdd", "FILE", nullptr,
     [](Options& o, const std::string& v) { return add_drive(o, v, 3, "disk"); }},
    {"cdrom", "FILE", "ISO image in the CD-ROM drive (IDE position 2)",
     [](Options& o, const std::string& v) { return add_drive(o, v, 2, "cdrom"); }},
    {"drive", "file=F,format=raw,if=ide,media=disk|cdrom,index=N", "a drive in full", parse_drive},
    {"snapshot", nullptr, "keep writes to disk images in memory and forget them",
     set_flag<&Options::snapshot>},
    {"boot", "[order=]LETTERS", "boot order: c disk, d CD-ROM; menu=on", parse_boot},
    {"serial", "BACKEND",
     "COM1..4 in turn: stdio, mon:stdio, file:F, pty, unix:F,server, tcp:H:P,server, null, none",
     [](Options& o, const std::string& v) -> Status {
         if (o.serials.size() == 4) return fail("-serial: there are four serial ports");
         o.serials.push_back(v);
         return {};
     }},
    {"debugcon", "BACKEND", "where bytes written to ports 0x402 and 0xE9 go",
     set_string<&Options::debugcon>},
    {"monitor", "none", "there is no monitor yet: only none",
     [](Options&, const std::string& v) { return only("-monitor", v, {"none"}); }},
    {"display", "none", "there is no window yet: only none",
     [](Options&, const std::string& v) { return only("-display", v, {"none"}); }},
    {"vga", "std|none", "the display adapter",
     [](Options& o, const std::string& v) -> Status {
         o.vga = v == "std";
         return only("-vga", v, {"std", "none"});
     }},
    {"screendump", "FILE", "when the machine ends, write the screen: FILE.ppm a picture, else text",
     set_string<&Options::screendump>},
    {"nographic", nullptr, "serial port 1 on the terminal (Ctrl-A X quits)",
     set_flag<&Options::nographic>},
    {"nodefaults", nullptr, "no default serial port", set_flag<&Options::nodefaults>},
    {"device", "isa-debug-exit,iobase=P,iosize=N | pc-testdev", "a device for test programs",
     parse_device},
    {"no-reboot", nullptr, "end instead of rebooting", set_flag<&Options::no_reboot>},
    {"no-shutdown", nullptr, "stop but stay when the guest powers off",
     set_flag<&Options::no_shutdown>},
    {"S", nullptr, "stop (SIGSTOP) before the first instruction; 'fg' or 'kill -CONT' goes on",
     set_flag<&Options::start_paused>},
    {"d", "ITEMS", "log: int,guest_errors,unimp,cpu_reset,in_asm,op,out_asm,hash",
     set_string<&Options::log_items>},
    {"dfilter", "RANGE[,RANGE]",
     "guest addresses that -d in_asm,op,out_asm show: START+SIZE, START-SIZE, START..END",
     [](Options& o, const std::string& v) -> Status {
         auto ranges = parse_address_ranges("-dfilter", v);
         if (!ranges) return std::unexpected(ranges.error());
         o.log_ranges.insert(o.log_ranges.end(), ranges->begin(), ranges->end());
         return {};
     }},
    {"D", "FILE", "where the log goes (default stderr)", set_string<&Options::log_file>},
    {"rtc", "base=DATE",
     "date of the clock at the start (default 2024-01-01, the same in every run)", parse_rtc},
    {"icount", "shift=N", "one instruction takes 2^N ns of virtual time (default 2)", parse_icount},
    {"accel", "jit|interp|verify",
     "execution engine: translator (default; tb-size=MIB of code, stats), interpreter (same "
     "results), or both in step, stopping at the first difference; thread=multi: a host thread "
     "for each processor (runs are no longer equal)",
     parse_accel},
    {"perfmap", nullptr,
     "/tmp/perf-PID.map, in which perf finds the names of translated guest code",
     set_flag<&Options::perf_map>},
    {"trace", "vmexit,file=F,format=text|jsonl | vmstat",
     "VM entries and exits; a table of them at the end", parse_trace},
    {"symbols", "L1=ELF,L2=ELF", "symbols for traces", parse_symbols},
    {"singlestep", "L1|L2", "one trace line per instruction of that level",
     [](Options& o, const std::string& v) {
         return parse_level("-singlestep", v, o.singlestep_level);
     }},
    {"sandbox", "on|off",
     "running, the process may open no files, sockets or programs (default on)",
     [](Options& o, const std::string& v) -> Status {
         const auto p = split_properties(v);
         o.sandbox = p[0].key == "on";
         if (Status s = only("-sandbox", p[0].key, {"on", "off"}); !s) return s;
         return each_property("-sandbox", v, 1, {}, [](const Property&) { return Status{}; });
     }},
    {"name", "TEXT", "ignored: a name for the process list",
     [](Options&, const std::string&) { return Status{}; }},
    {"enable-kvm", nullptr, nullptr,
     [](Options&, const std::string&) -> Status {
         return fail(
             "-enable-kvm: Ringminus never uses the host's VT-x or SVM; it models them. Leave the "
             "option out (-accel interp).");
     }},
    {"help", nullptr, "this text", set_flag<&Options::help>},
    {"h", nullptr, nullptr, set_flag<&Options::help>},
    {"version", nullptr, "the version", set_flag<&Options::version>},
};

}  // namespace

std::vector<std::string> option_names() {
    std::vector<std::string> names;
    for (const Row& r : kRows) names.emplace_back(r.name);
    return names;
}

Result<Options> parse_options(int argc, const char* const* argv) {
    Options o;
    for (int n = 1; n < argc; ++n) {
        const std::string given = argv[n];
        if (given.size() < 2 || given[0] != '-')
            return fail("'%s' is not an option; a disk image is given as -hda %s", given.c_str(),
                        given.c_str());
        const std::string name = given.substr(given[1] == '-' ? 2 : 1);
        const Row* row = std::find_if(std::begin(kRows), std::end(kRows),
                                      [&](const Row& r) { return name == r.name; });
        if (row == std::end(kRows)) {
            const std::string best = nearest(name.substr(0, name.find('=')), option_names());
            if (name.starts_with(best + "="))
                return fail("'%s': the value of -%s is the next word, without '='", given.c_str(),
                            best.c_str());
            return fail("unknown option '%s'; the nearest is '-%s' (-help lists all)",
                        given.c_str(), best.c_str());
        }
        std::string value;
        if (row->argument) {
            if (++n >= argc) return fail("-%s needs a value: %s", row->name, row->argument);
            value = argv[n];
            if (value.empty() && name != "append" && name != "name")
                return fail("-%s: the value is empty (%s)", row->name, row->argument);
        }
        if (Status s = row->parse(o, value); !s) return std::unexpected(s.error());
    }
    if (o.kernel.empty() && (!o.initrd.empty() || !o.append.empty()))
        return fail("%s needs -kernel FILE", o.initrd.empty() ? "-append" : "-initrd");
    if (o.kernel.empty() && o.linux_entry64)
        return fail("-machine linux-entry=64 needs -kernel FILE");
    if (o.sandbox.value_or(false) && o.verify)
        return fail("-sandbox on: -accel verify runs two processes that watch each other");
    if (Status s = check_threads(o); !s) return std::unexpected(s.error());
    if (!o.screendump.empty() && !o.vga)
        return fail("-screendump %s: -vga none leaves no screen to dump", o.screendump.c_str());
    return o;
}

std::string help_text() {
    std::string text = "usage: ringminus [options]\n\n";
    for (const Row& r : kRows) {
        if (!r.help) continue;
        std::string left =
            "  -" + std::string(r.name) + (r.argument ? " " + std::string(r.argument) : "");
        left += left.size() < 30 ? std::string(30 - left.size(), ' ') : "\n" + std::string(30, ' ');
        text += left + " " + r.help + "\n";
    }
    text +=
        "\nExit codes: 0 the guest powered off or reset (-no-reboot); 1 wrong options or files, or "
        "an output that could\n"
        "not be written; 3 the guest shut down by a triple fault (-no-reboot); 4 the guest is idle "
        "for ever;\n"
        "(v << 1) | 1 isa-debug-exit wrote v; 130 SIGINT; 143 SIGTERM.\n";
    return text;
}

}  // namespace rm::frontends
