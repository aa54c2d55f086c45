#include "frontends/cli/machine.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/log.h"
#include "vt-emulation/svm/svm.h"
#include "vt-emulation/vmx/vmx.h"

namespace rm::frontends {

using platform::PcExit;

namespace {

std::unexpected<Error> in_option(const char* option, const Error& error) {
    return fail("%s: %s", option, error.message.c_str());
}

}  // namespace

Machine::~Machine() = default;

Result<std::unique_ptr<Machine>> Machine::create(const Options& options, VerifyRole verify) {
    std::unique_ptr<Machine> machine(new Machine(options, verify));
    if (auto built = machine->build(); !built) return std::unexpected(built.error());
    return machine;
}

Result<void> Machine::build() {
    auto model = cpu::make_model(options_.cpu);
    if (!model) return std::unexpected(model.error());
    model_ = std::move(*model);
    if (options_.threads) {
        lock_ = std::make_unique<MachineLock>();
        log::warn(
            "thread=multi: a host thread for each processor, time is the host's; the run cannot be "
            "repeated exactly and has no hash");
    }
    auto tracing = Tracing::create(options_, lock_.get());
    if (!tracing) return std::unexpected(tracing.error());
    tracing_ = std::move(*tracing);

    platform::PcConfig config;
    config.ram_bytes = options_.ram_bytes;
    config.cpus = options_.processors;
    config.icount_shift = options_.icount_shift.value_or(config.icount_shift);
    config.lock = lock_.get();
    config.apic.x2apic = model_.features.has(cpu::Feature::k_x2apic);
    config.apic.tsc_deadline = model_.features.has(cpu::Feature::k_tsc_deadline);
    config.apic.physical_bits = model_.physical_bits;
    if (model_.features.has(cpu::Feature::k_vmx)) config.msr_feature_control = 5;
    config.bios = options_.bios;
    config.kernel = options_.kernel;
    config.initrd = options_.initrd;
    config.append = options_.append;
    config.linux_entry64 = options_.linux_entry64;
    if (options_.linux_entry64 && !model_.features.has(cpu::Feature::k_lm))
        return fail("-machine linux-entry=64: -cpu %s has no 64-bit mode", options_.cpu.c_str());
    if (!options_.boot_order.empty()) config.boot_order = options_.boot_order;
    config.boot_menu = options_.boot_menu;
    config.nographic = options_.nographic;
    config.vga = options_.vga;
    if (options_.rtc_base) config.rtc_base = *options_.rtc_base;
    config.no_reboot = options_.no_reboot;
    if (options_.debug_exit)
        config.debug_exit =
            platform::DebugExitConfig{options_.debug_exit->iobase, options_.debug_exit->iosize};
    config.pc_testdev = options_.pc_testdev;
    config.observer = tracing_.get();
    config.on_triple_fault = [this](unsigned index) {
        const auto& t = cpus_[index]->last_triple_fault;
        log::warn("processor %u shut down by a triple fault at %04x:%llx (exceptions %u, %u, %u)",
                  index, t.cs, static_cast<unsigned long long>(t.rip), t.vectors[0], t.vectors[1],
                  t.vectors[2]);
    };
    if (auto r = add_serials(config); !r) return r;
    if (auto r = add_drives(config); !r) return r;
    auto pc = platform::Pc::create(
        std::move(config), [this](const platform::CpuPlace& place) { return make_cpu(place); });
    if (!pc) return std::unexpected(pc.error());
    pc_ = std::move(*pc);
    if (!failure_.empty()) return fail("%s", failure_.c_str());
    return open_screendump();
}

Result<void> Machine::add_serials(platform::PcConfig& config) {
    std::vector<std::string> specs = options_.serials;
    if (specs.empty() && !options_.nodefaults)
        specs.push_back(options_.nographic ? "mon:stdio" : "null");
    for (std::size_t n = 0; n < specs.size(); ++n) {
        if (specs[n] == "none") continue;
        auto backend = platform::make_char_backend(specs[n]);
        if (!backend) return in_option("-serial", backend.error());
        if (auto* mux = dynamic_cast<platform::CharMux*>(backend->get()))
            mux->set_actions({[this] {
                                  quit_ = true;
                                  pc_->request_quit();
                              },
                              [this, n] { pc_->send_break(static_cast<unsigned>(n)); },
                              [this] { (void)pc_->flush_disks(); }});
        if (auto note = (*backend)->note(); !note.empty())
            log::warn("serial port %zu: %s", n + 1, note.c_str());
        config.serials[n] = {true, backend->get()};
        backends_.push_back(std::move(*backend));
    }
    if (options_.debugcon.empty()) return {};
    auto backend = platform::make_char_backend(options_.debugcon);
    if (!backend) return in_option("-debugcon", backend.error());
    for (u16 port : {u16{0x402}, u16{0xE9}})
        config.debug_consoles.push_back({port, backend->get()});
    backends_.push_back(std::move(*backend));
    return {};
}

Result<void> Machine::add_drives(platform::PcConfig& config) {
    bool used[4] = {};
    for (const DriveOption& d : options_.drives) {
        int index = d.index;
        if (index < 0)  // as QEMU: disks from 0 up, CD-ROMs from 2 up
            for (index = d.media == "cdrom" ? 2 : 0; index < 4 && used[index];) ++index;
        if (index > 3)
            return fail("-drive file=%s: all four IDE positions are taken", d.file.c_str());
        if (used[index])
            return fail("-drive file=%s: IDE position %d is taken twice", d.file.c_str(), index);
        used[index] = true;
        config.drives.push_back({static_cast<unsigned>(index), d.media == "cdrom", d.file,
                                 d.read_only, d.snapshot || options_.snapshot});
    }
    return {};
}

std::unique_ptr<Processor> Machine::make_cpu(const platform::CpuPlace& place) {
    cpu::CpuConfig config;
    config.index = place.index;
    config.processors = place.count;
    config.start_halted = place.index != 0;
    auto processor = std::make_unique<cpu::Cpu>(model_, config, place.memory, place.io, place.lapic,
                                                place.clock);
    processor->on_smm_change = place.smm_changed;
    processor->on_ferr = place.ferr_changed;
    std::unique_ptr<cpu::Virtualization> vt;
    if (model_.features.has(cpu::Feature::k_vmx))
        vt = std::make_unique<vt::vmx::Vmx>(model_, tracing_->sink());
    else if (model_.features.has(cpu::Feature::k_svm))
        vt = std::make_unique<vt::svm::Svm>(model_, tracing_->sink());
    if (vt) {
        processor->vt = vt.get();
        virtualizations_.push_back(std::move(vt));
    }
    processor->reset();
    if (options_.translate) {
        if (options_.perf_map && !perf_map_) {
            const std::string path = "/tmp/perf-" + std::to_string(getpid()) + ".map";
            perf_map_.reset(std::fopen(path.c_str(), "w"));
            if (!perf_map_) failure_ = "-perfmap: " + path + ": " + std::strerror(errno);
        }
        auto translator =
            jit::Translator::create(*processor, {.code_bytes = options_.code_bytes,
                                                 .perf_map = perf_map_.get(),
                                                 .times = options_.translator_statistics});
        if (translator) {
            translators_.push_back(std::move(*translator));
            if (verify_.channel)
                verifiers_.push_back(std::make_unique<jit::Verifier>(
                    *processor, *translators_.back(), *verify_.channel, verify_.role,
                    options_.verify_step_from));
        }
        if (!translator && failure_.empty()) failure_ = translator.error().message;
    }
    tracing_->attach(*processor);
    cpus_.push_back(processor.get());
    return processor;
}

void Machine::poll(std::atomic<bool>& report) {
    for (auto& backend : backends_) {
        backend->poll();
        if (failure_.empty()) failure_ = backend->failure();
    }
    if (!failure_.empty() || log::failed()) pc_->request_quit();
    if (report.exchange(false)) tracing_->report();
    if (tracing_->failed()) pc_->request_quit();
}

// Only the host can change something now: waits for input, a little while, without using the host's
// CPU. False: no input can come.
bool Machine::wait_for_input(std::atomic<bool>& report) {
    std::vector<pollfd> fds;
    for (auto& b : backends_)
        if (b->poll_fd() >= 0) fds.push_back({b->poll_fd(), POLLIN, 0});
    ::poll(fds.data(), fds.size(), 200);
    poll(report);
    return !fds.empty();
}

int Machine::run(const std::atomic<bool>& interrupt, std::atomic<bool>& report) {
    pc_->set_host_poll([this, &report] { poll(report); });
    PcExit exit;
    for (;;) {
        exit = pc_->run(interrupt);
        const bool off = options_.no_shutdown && exit.kind == PcExit::Kind::kPowerOff;
        const bool idle = exit.kind == PcExit::Kind::kIdleForever && wait_for_input(report);
        while (off && !interrupt && !quit_) wait_for_input(report);
        if (interrupt) exit.kind = PcExit::Kind::kInterrupted;
        if (interrupt || !idle) break;
    }
    int code = exit_code(exit);
    for (auto& backend : backends_) {
        backend->flush();
        if (failure_.empty()) failure_ = backend->failure();
    }
    if (!failure_.empty()) {
        log::warn("%s", failure_.c_str());
        code = 1;
    }
    if (auto flushed = pc_->flush_disks(); !flushed) {
        log::warn("%s", flushed.error().message.c_str());
        code = 1;
    }
    if (auto dumped = dump_screen(); !dumped) {
        log::warn("%s", dumped.error().message.c_str());
        code = 1;
    }
    if (options_.translator_statistics)
        for (std::size_t n = 0; n < translators_.size(); ++n)
            std::fputs(translators_[n]->statistics().text(static_cast<unsigned>(n)).c_str(),
                       stderr);
    if (auto finished = tracing_->finish(cpus_, *pc_); !finished) {
        log::warn("%s", finished.error().message.c_str());
        code = 1;
    }
    return code;
}

int Machine::exit_code(const PcExit& exit) {
    switch (exit.kind) {
        case PcExit::Kind::kDebugExit: return exit.status;
        case PcExit::Kind::kTripleFault: return 3;
        case PcExit::Kind::kIdleForever:
            log::warn(
                "the guest is idle for ever: all processors are halted with nothing to wake them "
                "(processor 0 at rip %llx)",
                static_cast<unsigned long long>(cpus_[0]->rip));
            return 4;
        case PcExit::Kind::kInterrupted: return kInterruptedCode;
        default: return 0;
    }
}

// At start-up: a path that cannot be written shows before the run, not after it.
Result<void> Machine::open_screendump() {
    if (options_.screendump.empty()) return {};
    screendump_.reset(std::fopen(options_.screendump.c_str(), "w"));
    if (!screendump_) return fail("-screendump %s: %m", options_.screendump.c_str());
    return {};
}

Result<void> Machine::dump_screen() {
    if (!screendump_) return {};
    const std::string& path = options_.screendump;
    std::vector<u8> data;
    if (path.ends_with(".ppm")) {
        data = platform::ppm(pc_->vga()->picture());
    } else {
        const std::string text = pc_->vga()->text();
        data.assign(text.begin(), text.end());
    }
    const bool written = std::fwrite(data.data(), 1, data.size(), screendump_.get()) == data.size();
    if (std::fclose(screendump_.release()) != 0 || !written)
        return fail("-screendump %s: %m", path.c_str());
    return {};
}

}  // namespace rm::frontends
