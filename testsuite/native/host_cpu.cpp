#include "native/host_cpu.h"

#include <asm/ldt.h>
#include <cpuid.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
// Shared with the assembly below.
rm::u64 rm_native_host_rsp, rm_native_host_fs, rm_native_host_gs;
rm::u64 rm_native_guest_fs, rm_native_guest_gs;
rm::u8 rm_native_bases;          // 1: FS and GS bases are switched
rm::u16 rm_native_selectors[6];  // in the order of State::selectors
void rm_native_enter(void* frame, rm::u64 fs, rm::u64 gs, rm::u64 flags);
void rm_native_leave();
void rm_native_handler(int, siginfo_t*, void*);
void rm_native_capture(int signal, siginfo_t* info, void* context);
}

// rm_native_enter: keep the host's registers, load the segment bases and the flags that
// rt_sigreturn takes from the processor (NT, ID), then let rt_sigreturn load the rest.
// rm_native_handler: back to the host's bases and flags before any C++ code runs.
asm(R"(
    .text
    .globl rm_native_enter, rm_native_leave, rm_native_handler
rm_native_enter:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, rm_native_host_rsp(%rip)
    cmpb $0, rm_native_bases(%rip)
    je 1f
    rdfsbase %rax
    mov %rax, rm_native_host_fs(%rip)
    rdgsbase %rax
    mov %rax, rm_native_host_gs(%rip)
    wrfsbase %rsi
    wrgsbase %rdx
1:  push %rcx
    popfq
    mov %rdi, %rsp
    mov $15, %eax
    syscall
    ud2
rm_native_leave:
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
rm_native_handler:
    pushq $0x202
    popfq
    mov %es, rm_native_selectors(%rip)
    mov %ds, rm_native_selectors+6(%rip)
    mov %fs, rm_native_selectors+8(%rip)
    mov %gs, rm_native_selectors+10(%rip)
    cmpb $0, rm_native_bases(%rip)
    je 1f
    rdfsbase %rax
    mov %rax, rm_native_guest_fs(%rip)
    rdgsbase %rax
    mov %rax, rm_native_guest_gs(%rip)
    cmpl $0, rm_native_selectors+8(%rip)
    je 2f
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
2:
    mov rm_native_host_fs(%rip), %rax
    wrfsbase %rax
    mov rm_native_host_gs(%rip), %rax
    wrgsbase %rax
1:  jmp rm_native_capture
)");

namespace rm::native {

namespace {

constexpr u64 kTf = 1 << 8;
constexpr u64 kFsgsbaseInHwcap2 = 2;
constexpr std::size_t kAltStack = 64 << 10;
constexpr long kPatience = 500'000;  // us of the processor's time for one instruction

// gregs in the order of State::gpr.
constexpr int kOrder[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                            REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

volatile bool running = false;
Outcome captured;
ucontext_t* frame;  // the one rt_sigreturn loads, in memory that is always mapped
FxImage* frame_fx;
void* alt_stack;

}  // namespace

}  // namespace rm::native

using namespace rm;
using namespace rm::native;

void rm_native_capture(int signal, siginfo_t*, void* context) {
    auto* uc = static_cast<ucontext_t*>(context);
    greg_t* g = uc->uc_mcontext.gregs;
    if (!running) {
        if (signal == SIGPROF) return;
        // a fault of the test program itself
        ::signal(signal, SIG_DFL);
        return;
    }
    running = false;
    Outcome& o = captured;
    for (int n = 0; n < 16; ++n) o.state.gpr[n] = static_cast<u64>(g[kOrder[n]]);
    o.state.rip = static_cast<u64>(g[REG_RIP]);
    o.state.rflags = static_cast<u64>(g[REG_EFL]);
    o.state.fs_base = rm_native_guest_fs;
    o.state.gs_base = rm_native_guest_gs;
    std::memcpy(o.state.selectors, rm_native_selectors, sizeof o.state.selectors);
    // Null selectors lose their RPL on the way through the kernel (SDM 2, IRET to an outer level).
    for (u16& s : o.state.selectors)
        if (s < 4) s = 0;
    o.state.selectors[kCsAt] = static_cast<u16>(g[REG_CSGSFS]);
    o.state.selectors[kSsAt] = static_cast<u16>(g[REG_CSGSFS] >> 48);
    std::memcpy(static_cast<void*>(&o.state.fx), uc->uc_mcontext.fpregs, sizeof(FxImage));
    o.vector = signal == SIGPROF ? kNoAnswer : static_cast<u8>(g[REG_TRAPNO]);
    o.error = static_cast<u32>(g[REG_ERR]);
    o.cr2 = static_cast<u64>(g[REG_CR2]);
    // Go on in rm_native_leave with a fresh FPU.
    g[REG_RIP] = reinterpret_cast<greg_t>(&rm_native_leave);
    g[REG_RSP] = static_cast<greg_t>(rm_native_host_rsp);
    g[REG_EFL] = 0x202;
    g[REG_CSGSFS] = static_cast<greg_t>(kUserCs | static_cast<u64>(kUserData) << 48);
    uc->uc_mcontext.fpregs = nullptr;
}

namespace rm::native {

namespace {

bool reserve(u64 start, u64 end) {
    void* p = mmap(reinterpret_cast<void*>(start), end - start, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (p == reinterpret_cast<void*>(start)) return true;
    std::fprintf(stderr, "native: address range %llx is not free\n",
                 static_cast<unsigned long long>(start));
    return false;
}

u8* map_fixed(u64 at, u64 bytes, int protection, int fd, u64 offset) {
    void* p =
        mmap(reinterpret_cast<void*>(at), bytes, protection,
             MAP_SHARED | MAP_POPULATE | (at ? MAP_FIXED : 0), fd, static_cast<off_t>(offset));
    if (p == MAP_FAILED) {
        std::perror("native: mmap");
        std::exit(2);
    }
    return static_cast<u8*>(p);
}

bool make_descriptor(unsigned entry) {
    const SegmentLayout& l = kLdt[entry];
    user_desc d{};
    d.entry_number = entry;
    d.base_addr = static_cast<unsigned>(l.base);
    d.limit = l.limit;
    d.seg_32bit = l.big;
    d.contents = l.type >> 2;
    d.read_exec_only = !(l.type & 2);
    d.limit_in_pages = l.pages;
    d.seg_not_present = !l.present;
    d.useable = l.available;
    constexpr long kWriteEntry = 0x11;
    return syscall(SYS_modify_ldt, kWriteEntry, &d, sizeof d) == 0;
}

void load_data_segments(u32 ds, u32 es) {
    asm volatile("mov %0, %%ds\n\tmov %1, %%es" : : "r"(ds), "r"(es));
}

void install_handlers() {
    alt_stack =
        mmap(nullptr, kAltStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t s{.ss_sp = alt_stack, .ss_flags = 0, .ss_size = kAltStack};
    sigaltstack(&s, nullptr);
    struct sigaction a {};
    a.sa_sigaction = rm_native_handler;
    a.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGPROF})
        sigaction(signal, &a, nullptr);
}

// SIGPROF after so much of the processor's time; 0: never.
void set_patience(long us) {
    const itimerval t{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = us}};
    setitimer(ITIMER_PROF, &t, nullptr);
}

}  // namespace

bool HostCpu::open() {
    if (!reserve(kReserved, kReservedEnd) ||
        !reserve(kHighScratch - kHighReserve, kHighScratch + kHighReserve))
        return false;
    const int fd = memfd_create("native", 0);
    if (fd < 0 || ftruncate(fd, kScratchBytes + kCodeBytes) != 0) {
        std::perror("native: memfd");
        return false;
    }
    scratch_ = map_fixed(0, kScratchBytes, PROT_READ | PROT_WRITE, fd, 0);
    code_ = map_fixed(0, kCodeBytes, PROT_READ | PROT_WRITE, fd, kScratchBytes);
    std::memset(scratch_, 1, kScratchBytes);
    std::memset(code_, kFiller, kCodeBytes);
    for (u64 at : {kScratch, kHighScratch}) {
        map_fixed(at, kWritableBytes, PROT_READ | PROT_WRITE, fd, 0);
        map_fixed(at + kWritableBytes, kScratchBytes - kWritableBytes, PROT_READ, fd,
                  kWritableBytes);
    }
    map_fixed(kCode, kCodeBytes, PROT_READ | PROT_EXEC, fd, kScratchBytes);
    frame = static_cast<ucontext_t*>(
        mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    frame_fx = reinterpret_cast<FxImage*>(reinterpret_cast<u8*>(frame) + 2048);
    rm_native_bases = has_segment_bases();
    has_ldt_ = true;
    for (unsigned entry = 0; entry < kLdtEntries; ++entry) has_ldt_ &= make_descriptor(entry);
    install_handlers();
    return true;
}

bool HostCpu::has_segment_bases() const { return getauxval(AT_HWCAP2) & kFsgsbaseInHwcap2; }

bool HostCpu::has_code(Code code) {
    if (code == Code::k64) return true;
    if (code == Code::k16 && !has_ldt_) return false;
    Case c;
    c.code = code;
    c.bytes[0] = 0x40;  // INC EAX; in 64-bit code a REX prefix
    c.length = 1;
    c.in.rip = 0x100 + kCode - c.code_base();
    c.in.gpr[4] = 0x2100;
    const Outcome o = run(c);
    return o.vector == kNoFault && o.state.gpr[0] == 1;
}

bool HostCpu::is_amd() {
    u32 a, b, c, d;
    __cpuid(0, a, b, c, d);
    return b == signature_AMD_ebx;
}

bool HostCpu::cpuid_bit(u32 leaf, u32 subleaf, unsigned reg, unsigned bit) {
    u32 r[4];
    if (!__get_cpuid_count(leaf, subleaf, &r[0], &r[1], &r[2], &r[3])) return false;
    return (r[reg] >> bit) & 1;
}

Outcome HostCpu::run(const Case& c) {
    std::memcpy(scratch_, c.memory, kScratchBytes);
    u8* at = code_ + c.code_offset();
    std::memcpy(at, c.bytes, c.length);

    ucontext_t& uc = *frame;
    std::memset(&uc, 0, sizeof uc);
    uc.uc_flags = 6;  // UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS
    uc.uc_stack = {.ss_sp = alt_stack, .ss_flags = 0, .ss_size = kAltStack};
    greg_t* g = uc.uc_mcontext.gregs;
    for (int n = 0; n < 16; ++n) g[kOrder[n]] = static_cast<greg_t>(c.in.gpr[n]);
    g[REG_RIP] = static_cast<greg_t>(c.in.rip);
    g[REG_EFL] = static_cast<greg_t>(c.in.rflags | (c.steps ? kTf : 0));
    const bool segmented = c.code == Code::k16;
    const u16 cs = segmented ? ldt_selector(0) : c.legacy() ? kUserCs32 : kUserCs;
    g[REG_CSGSFS] = static_cast<greg_t>(cs | u64{segmented ? ldt_selector(1) : kUserData} << 48);
    *frame_fx = c.in.fx;
    uc.uc_mcontext.fpregs = reinterpret_cast<fpregset_t>(frame_fx);
    // NT and ID come from the processor's flags, the rest from the frame.
    constexpr u64 kNt = 1 << 14, kId = 1 << 21;
    // 64-bit code does not look at these.
    load_data_segments(segmented ? ldt_selector(2) : kUserData,
                       segmented ? ldt_selector(3) : kUserData);
    running = true;
    set_patience(kPatience);
    rm_native_enter(frame, c.in.fs_base, c.in.gs_base, 0x202 | (c.in.rflags & (kNt | kId)));
    set_patience(0);

    std::memset(at, kFiller, c.length);
    Outcome o = captured;
    if (!rm_native_bases) {
        o.state.fs_base = c.in.fs_base;
        o.state.gs_base = c.in.gs_base;
    }
    if (o.vector == 1 && c.steps) {
        o.vector = kNoFault;
    } else if (o.vector == 3 && o.state.rip == c.in.rip + c.length + 1 && !c.steps) {
        o.vector = kNoFault;
        --o.state.rip;
    }
    if (c.steps) o.state.rflags &= ~kTf;
    return o;
}

}  // namespace rm::native
