#include "lockstep/engine.h"

#include <cstdio>
#include <cstdlib>

#include "jit/host/portable/run.h"
#include "jit/ir/print.h"
#include "jit/ir/verify.h"
#include "jit/run/translator.h"

namespace rm::lockstep {

namespace {

class Interpreter final : public Engine {
public:
    const char* name() const override { return "interp"; }
    Processor::Stop run(cpu::Cpu& cpu, u64 until) override { return cpu.run(until); }
};

class Portable final : public Engine {
public:
    const char* name() const override { return "portable"; }
    Processor::Stop run(cpu::Cpu& cpu, u64 until) override {
        return jit::portable::run(cpu, until, totals_, check);
    }
    std::string statistics() const override {
        return std::to_string(totals_.evaluated) + " instructions evaluated as IR, " +
               std::to_string(totals_.interpreted) + " interpreted";
    }

private:
    static void check(jit::ir::Block& block) {
        const auto offence = jit::ir::verify(block);
        if (!offence) return;
        std::fprintf(stderr, "lockstep: %s\n%s", offence->c_str(), jit::ir::print(block).c_str());
        std::exit(1);
    }
    jit::portable::Totals totals_;
};

#if defined(__x86_64__)
// The translator as the machine has it, but eager: a block is translated when it has run once, into
// so little memory that arenas are evicted all the time.
class Native final : public Engine {
public:
    const char* name() const override { return "native"; }
    std::shared_ptr<void> attach(cpu::Cpu& cpu) override {
        auto made = jit::Translator::create(
            cpu, {.code_bytes = 1 << 20, .hot = 1, .samples = 0, .trial = 1});
        if (!made) {
            std::fprintf(stderr, "lockstep: %s\n", made.error().message.c_str());
            std::exit(2);
        }
        std::shared_ptr<jit::Translator> translator = std::move(*made);
        translators_.push_back(translator);
        return translator;
    }
    Processor::Stop run(cpu::Cpu& cpu, u64 until) override { return cpu.run(until); }
    std::string statistics() const override {
        std::string text;
        for (const auto& t : translators_)
            if (const auto translator = t.lock()) {
                jit::Statistics s = translator->statistics();
                // Every sequence sets the tick count back.
                s.retired = s.in_translated_code + s.called;
                text += "\n" + s.text(0);
            }
        return text;
    }

private:
    std::vector<std::weak_ptr<jit::Translator>> translators_;
};
#endif

}  // namespace

std::unique_ptr<Engine> make_engine(const std::string& name) {
    if (name == "interp") return std::make_unique<Interpreter>();
    if (name == "portable") return std::make_unique<Portable>();
#if defined(__x86_64__)
    if (name == "native") return std::make_unique<Native>();
#endif
    return nullptr;
}

std::vector<std::string> engine_names() {
#if defined(__x86_64__)
    return {"interp", "portable", "native"};
#else
    return {"interp", "portable"};
#endif
}

}  // namespace rm::lockstep
