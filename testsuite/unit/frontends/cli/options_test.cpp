// The option table: every row, QEMU's syntax, and errors that name the option and the remedy.
#include <doctest/doctest.h>

#include <algorithm>

#include "frontends/cli/options.h"

using namespace rm;
using namespace rm::frontends;

namespace {

Result<Options> parse(std::vector<const char*> words) {
    words.insert(words.begin(), "ringminus");
    return parse_options(static_cast<int>(words.size()), words.data());
}
Options good(std::vector<const char*> words) {
    auto o = parse(words);
    REQUIRE_MESSAGE(o.has_value(), (o ? "" : o.error().message));
    return *o;
}
std::string error(std::vector<const char*> words) {
    auto o = parse(words);
    REQUIRE_MESSAGE(!o.has_value(), words.back());
    CHECK(o.error().message.find('\n') == std::string::npos);
    return o.error().message;
}
bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("defaults") {
    const Options o = good({});
    CHECK(o.cpu == "Westmere");
    CHECK(o.ram_bytes == u64{128} << 20);
    CHECK(o.processors == 1);
    CHECK(o.vga);
    CHECK_FALSE(o.no_reboot);
    CHECK_FALSE(o.debug_exit.has_value());
    CHECK_FALSE(o.rtc_base.has_value());
}

TEST_CASE("rows with a text") {
    const Options o = good({"-cpu",        "core2duo,+x2apic",
                            "-kernel",     "k",
                            "-initrd",     "a b,,c,d",
                            "-append",     "x=1,y",
                            "-bios",       "b",
                            "-debugcon",   "file:d",
                            "-screendump", "s.ppm",
                            "-d",          "int,hash",
                            "-D",          "log",
                            "-name",       "n"});
    CHECK(o.cpu == "core2duo,+x2apic");
    CHECK(o.kernel == "k");
    CHECK(o.initrd == "a b,,c,d");  // split later, by the kernel's protocol
    CHECK(o.append == "x=1,y");
    CHECK(o.bios == "b");
    CHECK(o.debugcon == "file:d");
    CHECK(o.screendump == "s.ppm");
    CHECK(o.log_items == "int,hash");
    CHECK(o.log_file == "log");
}

TEST_CASE("rows without a value, and the two dashes") {
    const Options o = good({"--nographic", "-nodefaults", "--no-reboot", "-no-shutdown", "-S",
                            "-snapshot", "--help", "-version"});
    CHECK(o.nographic);
    CHECK(o.nodefaults);
    CHECK(o.no_reboot);
    CHECK(o.no_shutdown);
    CHECK(o.start_paused);
    CHECK(o.snapshot);
    CHECK(o.help);
    CHECK(o.version);
    CHECK(good({"-h"}).help);
    CHECK(good({"-cpu", "help"}).help_topic == "cpu");
    CHECK(good({"-cpu", "?"}).help_topic == "cpu");
    CHECK(good({"--m", "2G"}).ram_bytes == u64{2} << 30);
}

TEST_CASE("machine, accel, display, monitor, vga: only what exists") {
    for (const char* v : {"pc", "type=pc", "pc,accel=interp", "accel=interp", "pc-i440fx"})
        good({"-machine", v});
    CHECK_FALSE(good({"-kernel", "k", "-machine", "pc,linux-entry=real"}).linux_entry64);
    CHECK(good({"-kernel", "k", "-machine", "pc,linux-entry=64,accel=interp"}).linux_entry64);
    CHECK(good({"-kernel", "k", "-machine", "linux-entry=64"}).linux_entry64);
    CHECK(has(error({"-machine", "pc,linux-entry=32"}), "supported: real, 64"));
    CHECK(has(error({"-machine", "linux-entry=64"}), "needs -kernel"));
    good({"-M", "pc", "-accel", "interp", "-display", "none", "-monitor", "none"});
    CHECK(good({"-vga", "std"}).vga);
    CHECK_FALSE(good({"-vga", "none"}).vga);
    CHECK(has(error({"-machine", "q35"}), "-machine: 'q35' is not supported; supported: pc"));
    CHECK(has(error({"-machine", "pc,acel=interp"}), "the nearest is 'accel'"));
    CHECK(has(error({"-machine", "pc,accel=kvm"}), "supported: jit, interp, verify"));
    CHECK(has(error({"-accel", "tcg"}), "supported: jit, interp, verify"));
    CHECK(has(error({"-display", "gtk"}), "-display: 'gtk'"));
    CHECK(has(error({"-monitor", "stdio"}), "-monitor"));
    CHECK(has(error({"-vga", "cirrus"}), "std, none"));
    CHECK(has(error({"-enable-kvm"}), "never uses the host's VT-x or SVM"));
}

TEST_CASE("the log's address ranges add up") {
    const Options o = good({"-dfilter", "0x10+1,3..4", "-dfilter", "8-4"});
    CHECK(o.log_ranges == std::vector<AddressRange>{{0x10, 0x10}, {3, 4}, {4, 7}});
    CHECK(has(error({"-dfilter", "0x10"}), "-dfilter: '0x10' is not a range"));
}

TEST_CASE("the translator's code memory") {
    CHECK(good({"-accel", "jit,tb-size=1"}).code_bytes == 1 << 20);
    CHECK(good({"-accel", "jit,stats,tb-size=16"}).code_bytes == 16 << 20);
    CHECK(has(error({"-accel", "jit,tb-size=0"}), "'0' is not a number from 1 to 1024"));
}

TEST_CASE("sandbox") {
    CHECK_FALSE(good({}).sandbox.has_value());
    CHECK(good({"-sandbox", "on"}).sandbox == true);
    CHECK(good({"-sandbox", "off"}).sandbox == false);
    CHECK(has(error({"-sandbox", "on", "-accel", "verify"}), "two processes"));
    CHECK(has(error({"-sandbox", "maybe"}), "supported: on, off"));
    CHECK(has(error({"-sandbox", "on,spawn=deny"}), "'spawn'"));
}

TEST_CASE("memory and processors") {
    CHECK(good({"-m", "512"}).ram_bytes == u64{512} << 20);
    CHECK(good({"-m", "size=1G"}).ram_bytes == u64{1} << 30);
    CHECK(has(error({"-m", "1G,slots=3"}), "-m 1G,slots=3"));
    CHECK(has(error({"-m", "lots"}), "'lots' is not a memory size"));
    CHECK(good({"-smp", "8"}).processors == 8);
    CHECK(good({"-smp", "cpus=3"}).processors == 3);
    CHECK(good({"-smp", "4,cores=4,threads=1,sockets=1,maxcpus=4"}).processors == 4);
    CHECK(good({"-smp", "cores=2"}).processors == 2);
    CHECK(has(error({"-smp", "9"}), "from 1 to 8"));
    CHECK(has(error({"-smp", "0"}), "-smp"));
    CHECK(has(error({"-smp", "2,cores=4"}), "2 processors are not 4 cores"));
    CHECK(has(error({"-smp", "4,maxcpus=2"}), "maxcpus=2"));
    CHECK(has(error({"-smp", "4,sockets=2"}), "one socket"));
    CHECK(has(error({"-smp", "4,core=2"}), "the nearest is 'cores'"));
}

TEST_CASE("drives") {
    const Options o = good({"-hda", "a", "-hdb", "b", "-hdc", "c,d", "-hdd", "e"});
    REQUIRE(o.drives.size() == 4);
    for (int n = 0; n < 4; ++n) CHECK(o.drives[static_cast<size_t>(n)].index == n);
    CHECK(o.drives[2].file == "c,d");
    CHECK(good({"-cdrom", "i"}).drives[0].media == "cdrom");
    CHECK(good({"-cdrom", "i"}).drives[0].read_only);
    const auto d =
        good(
            {"-drive",
             "file=a,,b,format=raw,if=ide,media=disk,index=3,readonly,snapshot=on,cache=none,id=x"})
            .drives[0];
    CHECK(d.file == "a,b");
    CHECK(d.index == 3);
    CHECK(d.read_only);
    CHECK(d.snapshot);
    CHECK(has(error({"-drive", "format=raw"}), "no file= given"));
    CHECK(has(error({"-drive", "file"}), "property 'file' needs a value"));
    CHECK(has(error({"-drive", "file=x,format=qcow2"}),
              "-drive format=: 'qcow2' is not supported; supported: raw"));
    CHECK(has(error({"-drive", "file=x,if=virtio"}), "supported: ide"));
    CHECK(has(error({"-drive", "file=x,media=tape"}), "disk, cdrom"));
    CHECK(has(error({"-drive", "file=x,index=4"}), "0 to 3"));
    CHECK(has(error({"-drive", "file=x,readonly=maybe"}), "neither on nor off"));
    CHECK(has(error({"-drive", "file=x,formt=raw"}), "the nearest is 'format'"));
}

TEST_CASE("boot order") {
    CHECK(good({"-boot", "d"}).boot_order == "d");
    CHECK(good({"-boot", "order=dc,menu=on"}).boot_order == "dc");
    CHECK(good({"-boot", "order=dc,menu=on"}).boot_menu);
    CHECK(has(error({"-boot", "menu"}), "'m' is not a boot device"));  // a bare word is the order
    CHECK(has(error({"-boot", "x"}), "'x' is not a boot device"));
    CHECK(has(error({"-boot", "ordr=c"}), "the nearest is 'order'"));
    CHECK(has(error({"-boot", "menu=perhaps"}), "neither on nor off"));
}

TEST_CASE("devices") {
    CHECK(good({"-device", "pc-testdev"}).pc_testdev);
    const auto d = good({"-device", "isa-debug-exit,iobase=0x501,iosize=2"}).debug_exit.value();
    CHECK(d.iobase == 0x501);
    CHECK(d.iosize == 2);
    CHECK(good({"-device", "isa-debug-exit"}).debug_exit->iobase == 0x501);
    CHECK(has(error({"-device", "isa-debug-exti"}), "the nearest is 'isa-debug-exit'"));
    CHECK(has(error({"-device", "isa-debug-exit,iobse=1"}), "the nearest is 'iobase'"));
    CHECK(has(error({"-device", "isa-debug-exit,iobase=0x10000"}), "65535"));
    CHECK(has(error({"-device", "isa-debug-exit,iosize=9"}), "1 to 8"));
    CHECK(has(error({"-device", "pc-testdev,x=1"}), "it has no properties"));
    CHECK(has(error({"-device", "isa-debugcon,iobase=0xe9"}), "-debugcon"));
}

TEST_CASE("serial ports") {
    const Options o =
        good({"-serial", "stdio", "-serial", "null", "-serial", "none", "-serial", "pty"});
    CHECK(o.serials == std::vector<std::string>{"stdio", "null", "none", "pty"});
    CHECK(has(error({"-serial", "null", "-serial", "null", "-serial", "null", "-serial", "null",
                     "-serial", "null"}),
              "four serial ports"));
}

TEST_CASE("clock") {
    CHECK(good({"-rtc", "base=2024-01-01"}).rtc_base.value() == 1704067200);
    CHECK(good({"-rtc", "base=5,clock=vm"}).rtc_base.value() == 5);
    CHECK(good({"-icount", "shift=0"}).icount_shift == 0);
    CHECK(has(error({"-rtc", "base=utc"}), "would make every run different"));
    CHECK(has(error({"-rtc", "base=2024-99-01"}), "YYYY-MM-DD"));
    CHECK(has(error({"-rtc", "clock=host"}), "supported: vm"));
    CHECK(has(error({"-icount", "shift=11"}), "0 to 10"));
    CHECK(has(error({"-icount", "shift"}), "needs a value"));
}

TEST_CASE("thread=multi: what it gives up is refused") {
    CHECK(!good({"-accel", "jit"}).threads);
    CHECK(!good({"-accel", "jit,thread=single", "-d", "hash"}).threads);
    CHECK(good({"-accel", "jit,thread=multi,tb-size=8,stats"}).threads);
    const Options interp = good({"-accel", "interp,thread=multi", "-d", "int"});
    CHECK(interp.threads);
    CHECK(!interp.translate);
    CHECK(has(error({"-accel", "jit,thread=many"}), "supported: single, multi"));
    CHECK(has(error({"-accel", "jit,thread=multi", "-d", "int,hash"}), "no two runs are equal"));
    CHECK(has(error({"-accel", "verify,thread=multi"}), "two equal runs"));
    CHECK(has(error({"-accel", "jit,thread=multi", "-icount", "shift=2"}), "host's clock"));
    CHECK(has(error({"-accel", "jit,thread=multi", "-trace", "vmexit", "-singlestep", "L2"}),
              "one order of instructions"));
}

TEST_CASE("traces and symbols") {
    const Options o = good({"-trace", "vmexit,file=f,format=jsonl", "-trace", "vmstat", "-symbols",
                            "L1=xen,L2=vm,,linux", "-singlestep", "L2"});
    REQUIRE(o.traces.size() == 2);
    CHECK(o.traces[0].file == "f");
    CHECK(o.traces[0].format == "jsonl");
    CHECK(o.traces[1].kind == "vmstat");
    REQUIRE(o.symbols.size() == 2);
    CHECK(o.symbols[1].level == 2);
    CHECK(o.symbols[1].file == "vm,linux");
    CHECK(o.singlestep_level == 2);
    CHECK(has(error({"-trace", "vmexits"}), "supported: vmexit, vmstat"));
    CHECK(has(error({"-trace", "vmexit,format=xml"}), "text, jsonl"));
    CHECK(has(error({"-trace", "vmexit,fil=x"}), "the nearest is 'file'"));
    CHECK(has(error({"-trace", "vmexit,file"}), "needs a value"));
    CHECK(has(error({"-symbols", "L0=x"}), "'L0' is not a level"));
    CHECK(has(error({"-symbols", "L1"}), "L1=FILE"));
    CHECK(has(error({"-singlestep", "L3"}), "levels are L1"));
}

TEST_CASE("what is not an option, and what is missing") {
    CHECK(has(error({"-kernal", "x"}), "the nearest is '-kernel'"));
    CHECK(has(error({"--no_reboot"}), "the nearest is '-no-reboot'"));
    CHECK(has(error({"-kernel=x"}), "the value of -kernel is the next word"));
    CHECK(has(error({"disk.img"}), "-hda disk.img"));
    CHECK(has(error({"-"}), "'-' is not an option"));
    CHECK(has(error({"--"}), "unknown option '--'"));
    CHECK(has(error({"-kernel"}), "-kernel needs a value"));
    CHECK(has(error({"-kernel", ""}), "-kernel: the value is empty"));
    CHECK(has(error({"-initrd", "x"}), "-initrd needs -kernel"));
    CHECK(has(error({"-append", "x"}), "-append needs -kernel"));
    CHECK(has(error({"-screendump", "x", "-vga", "none"}), "no screen"));
    good({"-kernel", "k", "-append", ""});
    // Every row that takes a value says so when it is missing.
    for (const std::string& name : option_names()) {
        const std::string dashed = "-" + name;
        if (const auto o = parse({dashed.c_str()}); !o && name != "enable-kvm")
            CHECK(has(o.error().message, (dashed + " needs a value").c_str()));
    }
}

TEST_CASE("the help text has every option and the exit codes") {
    const std::string help = help_text();
    for (const std::string& name : option_names())
        if (name != "h" && name != "enable-kvm")
            CHECK_MESSAGE(has(help, ("-" + name).c_str()), name);
    CHECK(has(help, "Exit codes"));
    const auto names = option_names();
    for (const auto& name : names) CHECK(std::count(names.begin(), names.end(), name) == 1);
}
