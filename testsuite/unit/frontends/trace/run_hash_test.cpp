#include "frontends/trace/run_hash.h"

#include <doctest/doctest.h>
#include <openssl/evp.h>

#include <cstring>

#include "frontends/trace/number_text.h"
#include "memory/physical/physical.h"

using namespace rm;
using namespace rm::frontends::trace;
using namespace rm::vt::common;

namespace {

// The stream as docs/trace.md defines it, written independently of the implementation.
struct Stream {
    std::string bytes;
    Stream& num(u64 value, unsigned size) {
        for (unsigned n = 0; n < size; ++n) bytes.push_back(static_cast<char>(value >> (8 * n)));
        return *this;
    }
    Stream& text(std::string_view s) { return bytes.append(s), *this; }
    std::string sha() const {
        u8 sum[32];
        EVP_Digest(bytes.data(), bytes.size(), sum, nullptr, EVP_sha256(), nullptr);
        std::string out;
        append_bytes(out, sum);
        return out;
    }
};

ExitRecord some_exit() {
    ExitRecord r;
    r.vcpu = 1;
    r.tick = 0x123456789A;
    r.reason = r.reason_raw = 48;
    r.guest_rip = 0x1000;
    r.info1 = 0x181;
    r.physical_valid = true;
    r.guest_physical = 0xfee00000;
    return r;
}

std::string hash_of(const ExitRecord& r) {
    RunHash h;
    h.add(r);
    return h.digest();
}

std::string hash_of(const cpu::CpuState& s) {
    RunHash h;
    h.add_processor(0, 1, s);
    return h.digest();
}

}  // namespace

TEST_CASE("an empty stream is SHA-256 of nothing") {
    RunHash h;
    CHECK(h.digest() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("deliveries and device output, byte by byte") {
    RunHash h;
    cpu::Event e{.vector = 14, .has_error = true, .error = 2, .payload = 0xdead};
    h.delivery(3, 100, 0xffff0, e);
    const std::string text = "hello";
    h.on_output("COM1", {reinterpret_cast<const u8*>(text.data()), text.size()});
    Stream s;
    s.num(1, 1).num(3, 4).num(100, 8).num(0xffff0, 8).num(14, 1).num(3, 1).num(1, 1).num(2, 4);
    s.num(0xdead, 8).num(0, 1);
    s.num(5, 1).num(4, 4).num(5, 8).text("COM1").text("hello");
    CHECK(h.digest() == s.sha());
}

TEST_CASE("exits, entries and refusals, byte by byte") {
    RunHash h;
    h.add(some_exit());
    EntryRecord entry;
    entry.guest_rip = 7;
    entry.injected.info = 0x80000B0E;
    entry.injected.error = 5;
    entry.address_space_id = 9;
    h.add(entry);
    EntryFailure failure;
    failure.reason = 0x80000021;
    h.add(failure);
    Stream s;
    s.num(2, 1).num(1, 4).num(2, 1).num(0x123456789A, 8).num(1, 1).num(0, 8);
    s.num(48, 8).num(48, 8).num(0x1000, 8).num(0, 8).num(0, 8).num(0, 8).num(0, 8).num(0, 8);
    s.num(0, 1).num(0x181, 8).num(0, 8).num(0, 4).num(0, 4).num(0, 1).num(0, 8).num(1, 1);
    s.num(0xfee00000, 8).num(0, 12).num(0, 12).num(0, 8);
    s.num(3, 1).num(0, 4).num(2, 1).num(0, 8).num(1, 1).num(0, 8);
    s.num(0, 8).num(7, 8).num(0, 8).num(0, 8).num(0x80000B0E, 4).num(5, 4).num(0, 4);
    s.num(9, 2).num(0, 8);
    s.num(4, 1).num(0, 4).num(2, 1).num(0, 8).num(1, 1).num(0, 8);
    s.num(0, 8).num(0, 4).num(0x80000021, 8).num(0, 8);
    CHECK(h.digest() == s.sha());
}

TEST_CASE("what other sinks ask for does not enter the hash") {
    const ExitRecord plain = some_exit();
    ExitRecord traced = plain;
    traced.bytes[0] = 0x90;
    traced.byte_count = 1;
    traced.reason_name = "EPT_VIOLATION";
    CHECK(hash_of(plain) == hash_of(traced));
    ExitRecord other = plain;
    other.guest_linear = 5;  // not valid, so not architectural
    other.instruction_info = 7;
    other.interruption.error = 9;
    CHECK(hash_of(plain) == hash_of(other));
    other.info1 ^= 1;
    CHECK(hash_of(plain) != hash_of(other));

    const FieldChange changes[] = {{0x681E, 8, "GUEST_RIP", 1, 2, 3}};
    EntryRecord entry, traced_entry;
    traced_entry.changes = changes;
    RunHash a, b;
    a.add(entry);
    b.add(traced_entry);
    CHECK(a.digest() == b.digest());
    CHECK(RunHash().needs() == 0);
}

TEST_CASE("structure padding does not enter the hash") {
    alignas(ExitRecord) unsigned char raw[2][sizeof(ExitRecord)];
    std::string hashes[2];
    for (int n = 0; n < 2; ++n) {
        std::memset(raw[n], n ? 0xFF : 0x00, sizeof raw[n]);
        auto* r = new (raw[n]) ExitRecord;
        r->reason = 10;
        hashes[n] = hash_of(*r);
    }
    CHECK(hashes[0] == hashes[1]);
}

TEST_CASE("every part of the processor state counts") {
    const cpu::CpuState base;
    const std::string reference = hash_of(base);
    CHECK(hash_of(cpu::CpuState{}) == reference);
    const auto differs = [&](auto change) {
        cpu::CpuState s;
        change(s);
        return hash_of(s) != reference;
    };
    CHECK(differs([](auto& s) { s.gpr[15] = 1; }));
    CHECK(differs([](auto& s) { s.rip = 1; }));
    CHECK(differs([](auto& s) { s.set_rflags(0x41); }));
    CHECK(differs([](auto& s) { s.seg[5].base = 1; }));
    CHECK(differs([](auto& s) { s.tr.limit = 1; }));
    CHECK(differs([](auto& s) { s.idtr.limit = 1; }));
    CHECK(differs([](auto& s) { s.xcr0 = 3; }));
    CHECK(differs([](auto& s) { s.dr7 = 0x401; }));
    CHECK(differs([](auto& s) { s.activity = cpu::Activity::kHlt; }));
    CHECK(differs([](auto& s) { s.vt_mode = cpu::VtMode::kVmxRoot; }));
    CHECK(differs([](auto& s) { s.msr.mtrr_mask[7] = 1; }));
    CHECK(differs([](auto& s) { s.fpu.xmm[15].b[15] = 1; }));
    CHECK(differs([](auto& s) { s.fpu.st[7].sign_exponent = 1; }));
    CHECK_FALSE(differs([](auto& s) { s.vt_profile = 1; }));  // ours, not the architecture's
}

TEST_CASE("RAM: non-zero pages, whatever is resident") {
    auto sparse = memory::Ram::create(16 << 20), touched = memory::Ram::create(16 << 20);
    REQUIRE(sparse.has_value());
    REQUIRE(touched.has_value());
    std::memset((*touched)->host(), 0, 8 << 20);  // resident but zero
    for (auto* ram : {sparse->get(), touched->get()}) {
        ram->host()[0x3007] = 0xAA;
        ram->host()[(16 << 20) - 1] = 0xBB;
    }
    const auto hash = [](const memory::Ram& ram) {
        RunHash h;
        h.add_ram(ram);
        return h.digest();
    };
    std::string page(4096, '\0'), last(4096, '\0');
    page[7] = '\xAA';
    last[4095] = '\xBB';
    Stream s;
    s.num(7, 1).num(3, 8).text(page).num(7, 1).num(4095, 8).text(last);
    CHECK(hash(**sparse) == s.sha());
    CHECK(hash(**touched) == s.sha());
    (*touched)->host()[0x4000] = 1;
    CHECK(hash(**touched) != s.sha());
}

TEST_CASE("the closing line") {
    auto ram = memory::Ram::create(1 << 20);
    REQUIRE(ram.has_value());
    RunHash h;
    CHECK(h.finish({}, **ram) ==
          "hash=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 insns=0");
}
