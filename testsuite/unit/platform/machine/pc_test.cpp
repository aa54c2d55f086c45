// Building the PC: memory map, ports, CMOS, PCI, firmware shadowing, requests; with a processor
// that executes a list of actions instead of instructions.
#include "platform/machine/pc.h"

#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "platform/machine/cmos_layout.h"

using namespace rm;
using namespace rm::platform;

namespace {

// Each run() performs one action and halts; without actions it stays halted.
struct FakeCpu final : Processor, CpuPins {
    using Action = std::function<Stop(FakeCpu&)>;
    explicit FakeCpu(const CpuPlace& p) : place(p) {}
    CpuPins& pins() override { return *this; }
    Stop run(u64 until) override {
        if (actions.empty()) return Stop::kHalted;
        at = std::min(at + 1, until);
        const Action action = actions.front();
        actions.erase(actions.begin());
        return action(*this);
    }
    u64 ticks() const override { return at; }
    void skip_to(u64 ticks) override { at = ticks; }
    void stop_at(u64) override {}
    bool halted() const override { return actions.empty(); }
    void reset() override { ++resets; }
    void set_a20(bool enabled) override { a20 = enabled; }
    void set_ignne(bool asserted) override { ignne = asserted; }
    void set_intr(bool level) override { intr = level; }
    void pulse_nmi() override {}
    void pulse_smi() override { ++smis; }
    void pulse_init() override {}
    void startup_ipi(u8) override {}

    CpuPlace place;
    std::vector<Action> actions;
    u64 at = 0;
    unsigned resets = 0, smis = 0;
    bool a20 = false, intr = false, ignne = false;
};

struct Log final : Observer {
    void on_output(const char* device, std::span<const u8> bytes) override {
        text += std::string(device) + ":" + std::string(bytes.begin(), bytes.end()) + ";";
    }
    std::string text;
};

// A firmware file of our own, so that the tests need no package.
struct TempFile {
    std::string path;
    explicit TempFile(const std::vector<u8>& bytes) {
        std::string name = std::filesystem::temp_directory_path() / "ringminus-test-XXXXXX";
        const int fd = ::mkstemp(name.data());
        REQUIRE(fd >= 0);
        REQUIRE(::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
        ::close(fd);
        path = name;
    }
    ~TempFile() { ::unlink(path.c_str()); }
};

std::vector<u8> bios_image() {
    std::vector<u8> b(256 << 10);
    for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<u8>(i >> 12);
    return b;
}
std::vector<u8> vga_image() {
    std::vector<u8> b(5000, 0);
    b[0] = 0x55, b[1] = 0xAA, b[2] = 10;
    return b;
}

struct Machine {
    TempFile bios{bios_image()}, vga_bios{vga_image()};
    std::vector<FakeCpu*> cpus;
    std::unique_ptr<Pc> pc;
    std::atomic<bool> interrupt{false};

    explicit Machine(PcConfig config = {}) {
        config.bios = bios.path;
        config.vga_bios = vga_bios.path;
        auto made = Pc::create(std::move(config), [this](const CpuPlace& place) {
            auto cpu = std::make_unique<FakeCpu>(place);
            cpus.push_back(cpu.get());
            return cpu;
        });
        if (!made) FAIL(made.error().message);
        pc = std::move(*made);
    }
    void act(std::function<void(memory::IoBus&)> what) {
        cpus[0]->actions.push_back([what](FakeCpu& cpu) {
            what(cpu.place.io);
            return Processor::Stop::kHalted;
        });
    }
    PcExit run() { return pc->run(interrupt); }
    u8 cmos(u8 index) {
        pc->io().write(0x70, 1, index);
        return static_cast<u8>(pc->io().read(0x71, 1));
    }
    u32 pci(unsigned slot, unsigned function, u8 offset) {
        pc->io().write(0xCF8, 4, 0x80000000 | slot << 11 | function << 8 | offset);
        return pc->io().read(0xCFC, 4);
    }
    void pci_write(unsigned slot, unsigned function, u8 offset, u32 value) {
        pc->io().write(0xCF8, 4, 0x80000000 | slot << 11 | function << 8 | offset);
        pc->io().write(0xCFC, 4, value);
    }
};

}  // namespace

TEST_CASE("memory map: RAM, BIOS at both places, shadowing, windows") {
    Machine m({.ram_bytes = 64 << 20});
    auto& memory = m.pc->memory();
    memory.store(0x1000, 4, 0x12345678);
    CHECK(memory.load(0x1000, 4) == 0x12345678);
    CHECK(memory.page(0x3FFF000).write_host == m.pc->ram().host() + 0x3FFF000);
    CHECK(memory.load(0x4000000, 4) == 0xFFFFFFFF);
    CHECK(memory.load(0xFFFFFFF0, 1) == 0x3F);
    CHECK(memory.load(0xFFFC0000, 1) == 0);
    CHECK(memory.load(0xE0000, 1) == 0x20);  // the last 128 KiB
    CHECK(memory.load(0xFFFF0, 1) == 0x3F);
    memory.store(0xFFFF0, 1, 0x99);
    CHECK(memory.load(0xFFFF0, 1) == 0x3F);
    m.pci_write(0, 0, 0x58, 0x00003000);  // PAM0: F0000 reads and writes RAM
    memory.store(0xFFFF0, 1, 0x99);
    CHECK(memory.load(0xFFFF0, 1) == 0x99);
    m.pc->reset();
    CHECK(memory.load(0xFFFF0, 1) == 0x3F);
    CHECK(memory.load(0xFEC00010, 4) != 0xFFFFFFFF);
    CHECK(memory.load(0xFED00000, 4) == 0x8086A201);
}

TEST_CASE("RAM split at the PCI hole") {
    Machine m({.ram_bytes = u64{5} << 30});
    CHECK(m.pc->ram_layout().below_4g == u64{3} << 30);
    CHECK(m.pc->memory().page(0xBFFFF000).read_host == m.pc->ram().host() + 0xBFFFF000);
    CHECK(m.pc->memory().page(0xC0000000).read_host == nullptr);
    CHECK(m.pc->memory().page(u64{1} << 32).read_host == m.pc->ram().host() + (u64{3} << 30));
    CHECK(m.pc->memory().page((u64{6} << 30) - 1).write_host != nullptr);
    CHECK(m.pc->memory().page(u64{6} << 30).write_host == nullptr);
    CHECK(m.cmos(0x34) == 0x00);
    CHECK(m.cmos(0x35) == 0xBF);
    CHECK((m.cmos(0x5B) | m.cmos(0x5C) << 8 | m.cmos(0x5D) << 16) == 0x8000);
}

TEST_CASE("PCI functions and devices in place") {
    Machine m({.cpus = 2});
    CHECK(m.pci(0, 0, 0) == 0x12378086);
    CHECK(m.pci(1, 0, 0) == 0x70008086);
    CHECK(m.pci(1, 1, 0) == 0x70108086);
    CHECK(m.pci(1, 3, 0) == 0x71138086);
    CHECK(m.pci(2, 0, 0) == 0x11111234);
    CHECK(m.pci(3, 0, 0) == 0xFFFFFFFF);
    m.pci_write(2, 0, 0x30, 0xFFFFFFFE);
    CHECK(m.pci(2, 0, 0x30) == 0xFFFFE000);  // 8 KiB of VGA BIOS
    m.pc->io().write(0x510, 2, 0);
    CHECK(m.pc->io().read(0x511, 1) == 'Q');
    m.pc->io().write(0x510, 2, 5);
    CHECK(m.pc->io().read(0x511, 1) == 2);
    CHECK(m.cmos(0x5F) == 1);
    CHECK(m.cmos(0x3D) == 0x12);
    CHECK(m.cmos(0x38) == 0x31);
    CHECK(m.pc->io().read(0x3FD, 1) == 0xFF);  // no serial port asked for
    CHECK(m.cpus[0]->a20);
    CHECK(m.cpus[1]->resets >= 1);
}

TEST_CASE("A20: port 92 and the keyboard controller are ORed") {
    Machine m;
    auto& io = m.pc->io();
    io.write(0x64, 1, 0xDD);
    CHECK_FALSE(m.cpus[0]->a20);
    io.write(0x92, 1, 2);
    CHECK(m.cpus[0]->a20);
    io.write(0x92, 1, 0);
    CHECK_FALSE(m.cpus[0]->a20);
    m.pc->reset();
    CHECK(m.cpus[0]->a20);
}

TEST_CASE("exits: power-off, debug exit, reset, triple fault, idle, interrupt") {
    using Kind = PcExit::Kind;
    PcConfig config{.no_reboot = true};
    config.debug_exit = DebugExitConfig{0xF4, 4};
    Log log;
    config.observer = &log;
    std::string faults;
    config.on_triple_fault = [&](unsigned cpu) { faults += static_cast<char>('0' + cpu); };
    Machine m(config);
    m.act([](memory::IoBus& io) { io.write(0xF4, 4, 21); });
    PcExit e = m.run();
    CHECK(e.kind == Kind::kDebugExit);
    CHECK(e.status == 43);
    CHECK(log.text.ends_with("exit:+;"));
    m.act([](memory::IoBus& io) { io.write(0xCF9, 1, 6); });
    CHECK(m.run().kind == Kind::kReset);
    m.act([](memory::IoBus& io) { io.write(0x64, 1, 0xFE); });
    CHECK(m.run().kind == Kind::kReset);
    m.act([](memory::IoBus& io) { io.write(0x92, 1, 1); });
    CHECK(m.run().kind == Kind::kReset);
    m.cpus[0]->actions.push_back([](FakeCpu&) { return Processor::Stop::kTripleFault; });
    CHECK(m.run().kind == Kind::kTripleFault);
    CHECK(faults == "0");
    m.pci_write(1, 3, 0x40, 0x601);
    m.pci_write(1, 3, 0x80, 1);
    m.pci_write(1, 3, 0x04, 1);
    m.act([](memory::IoBus& io) { io.write(0x604, 2, 0x2000); });
    CHECK(m.run().kind == Kind::kPowerOff);
    m.interrupt = true;
    CHECK(m.run().kind == Kind::kInterrupted);
}

TEST_CASE("a reset without -no-reboot goes on") {
    PcConfig config;
    config.debug_exit = DebugExitConfig{};
    Machine m(config);
    const unsigned resets = m.cpus[0]->resets;
    m.act([](memory::IoBus& io) { io.write(0xCF9, 1, 6); });
    m.act([](memory::IoBus& io) { io.write(0x501, 1, 0); });
    const PcExit e = m.run();
    CHECK(e.kind == PcExit::Kind::kDebugExit);
    CHECK(e.status == 1);
    CHECK(m.cpus[0]->resets == resets + 1);
}

TEST_CASE("serial and debug console output reaches the observer in order") {
    Log log;
    PcConfig config;
    config.observer = &log;
    config.serials[0].present = true;
    config.debug_consoles = {{0x402, nullptr}, {0xE9, nullptr}};
    config.debug_exit = DebugExitConfig{};
    Machine m(config);
    log.text.clear();
    m.act([](memory::IoBus& io) {
        io.write(0x3F8, 1, 'a');
        io.write(0x402, 1, 'b');
        io.write(0xE9, 1, 'c');
        io.write(0x3F8, 1, 'd');
        io.write(0x501, 1, 0);
    });
    m.run();
    CHECK(log.text == "serial0:a;debugcon:b;debugcon:c;serial0:d;exit:\x01;");
}

TEST_CASE("FERR# of the first processor is IRQ 13; port F0 answers with IGNNE#") {
    Machine m({.cpus = 2});
    auto& io = m.pc->io();
    const auto requested = [&] {
        io.write(0xA0, 1, 0x0A);
        return (io.read(0xA0, 1) & 0x20) != 0;
    };
    CHECK_FALSE(m.cpus[1]->place.ferr_changed);
    REQUIRE(m.cpus[0]->place.ferr_changed);
    m.cpus[0]->place.ferr_changed(true);
    CHECK(requested());
    CHECK_FALSE(m.cpus[0]->ignne);
    io.write(0xF0, 1, 0);
    CHECK(m.cpus[0]->ignne);
    CHECK_FALSE(m.cpus[1]->ignne);
    m.pc->reset();
    CHECK_FALSE(m.cpus[0]->ignne);
    CHECK_FALSE(requested());
}

TEST_CASE("SMI by port B2 reaches the processor") {
    Machine m({.smm = true});
    m.pci_write(1, 3, 0x58, 1 << 25);  // DEVACTB.APMC_EN
    m.pc->io().write(0xB2, 1, 0x55);
    CHECK(m.cpus[0]->smis == 1);
}

TEST_CASE("wrong values: one line that names them") {
    struct Row {
        std::function<void(PcConfig&)> change;
        const char* says;
    };
    const Row rows[] = {
        {[](PcConfig& c) { c.ram_bytes = 1000; }, "-m"},
        {[](PcConfig& c) { c.ram_bytes = u64{1} << 50; }, "-m"},
        {[](PcConfig& c) { c.cpus = 0; }, "-smp"},
        {[](PcConfig& c) { c.cpus = 9; }, "-smp"},
        {[](PcConfig& c) { c.append = "x"; }, "-append needs -kernel"},
        {[](PcConfig& c) { c.boot_order = "cz"; }, "'z'"},
        {[](PcConfig& c) { c.boot_order = "cc"; }, "twice"},
        {[](PcConfig& c) { c.kernel = "/nonexistent/k"; }, "/nonexistent/k"},
        {[](PcConfig& c) { c.bios = "/nonexistent/b"; }, "/nonexistent/b"},
        {[](PcConfig& c) { c.bios = "/"; }, "directory"},
        {[](PcConfig& c) { c.drives = {{.unit = 0, .file = "/nonexistent/d"}}; }, "/nonexistent/d"},
        {[](PcConfig& c) { c.drives = {{.unit = 4, .file = "d"}}; }, "index=4"},
        {[](PcConfig& c) { c.drives = {{.unit = 0}}; }, "no file"},
    };
    TempFile bios(bios_image());
    for (const Row& row : rows) {
        CAPTURE(row.says);
        PcConfig config;
        config.bios = bios.path;
        config.vga = false;
        row.change(config);
        const auto pc =
            Pc::create(config, [](const CpuPlace& p) { return std::make_unique<FakeCpu>(p); });
        REQUIRE_FALSE(pc);
        CHECK(pc.error().message.find(row.says) != std::string::npos);
        CHECK(pc.error().message.find('\n') == std::string::npos);
    }
}

TEST_CASE("drives appear on their channels") {
    TempFile disk(std::vector<u8>(64 << 10, 0x5A));
    PcConfig config;
    config.drives = {{.unit = 0, .file = disk.path, .snapshot = true}, {.unit = 2, .cdrom = true}};
    Machine m(config);
    auto& io = m.pc->io();
    io.write(0x1F6, 1, 0xA0);
    CHECK((io.read(0x1F7, 1) & 0x40) != 0);  // ready
    io.write(0x176, 1, 0xA0);
    CHECK(io.read(0x174, 1) == 0x14);  // ATAPI signature
    CHECK(io.read(0x175, 1) == 0xEB);
    CHECK(m.cmos(0x39) == 0);
    CHECK(m.pc->flush_disks());
}

TEST_CASE("CMOS layout") {
    const auto value = [](const CmosBytes& list, u8 index) {
        for (const auto& [i, v] : list)
            if (i == index) return int{v};
        return -1;
    };
    CmosConfig config{.ram = RamLayout::of(32 << 20), .cpus = 4, .boot = *boot_nibbles("dcn")};
    config.disk_sectors = {u64{1} << 24, 2048, 0, u64{1} << 22};
    const CmosBytes list = cmos_bytes(config);
    CHECK((value(list, 0x17) | value(list, 0x18) << 8) == 31 * 1024);
    CHECK((value(list, 0x34) | value(list, 0x35) << 8) == 256);
    CHECK(value(list, 0x5F) == 3);
    CHECK(value(list, 0x3D) == 0x23);
    CHECK(value(list, 0x38) == 0x41);
    CHECK(value(list, 0x39) == 0x41);
}
