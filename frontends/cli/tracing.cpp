#include "frontends/cli/tracing.h"

namespace rm::frontends {

struct Tracing::Parts {};

Tracing::Tracing() = default;
Tracing::~Tracing() = default;
Result<std::unique_ptr<Tracing>> Tracing::create(const Options&) { return std::unique_ptr<Tracing>(new Tracing); }
vt::common::TraceSink* Tracing::sink() { return nullptr; }
void Tracing::attach(cpu::Cpu&) {}
void Tracing::on_output(const char*, std::span<const u8>) {}
void Tracing::on_delivery(const cpu::Cpu&, const cpu::Event&) {}
bool Tracing::failed() const { return false; }
void Tracing::report() {}
Result<void> Tracing::finish(std::span<cpu::Cpu* const>, platform::Pc&) { return {}; }

}  // namespace rm::frontends
