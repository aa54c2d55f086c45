; SVM: event injection, virtual interrupts, GIF, interrupt shadow, intercepted interrupts, TSC offset, ASIDs.
; models: barcelona, opteron-f, max-amd
; manual: APM2 15.13, 15.16, 15.17, 15.20, 15.21
%include "guest.inc"
%include "long.inc"
%include "svm.inc"

%define VALID (1 << 31)

main:
    mov dword [LAPIC + 0xF0], 0x1FF
    ENTER_LONG
    call svm_start

    ; --- injection: exception with error code, interrupt, software interrupt, NMI
    call inject_start
    mov dword [EVENTINJ], VALID | 1 << 11 | 3 << 8 | 13
    mov dword [EVENTINJ + 4], 0x1238
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_EQ dword [exc_vec], 13
    EXPECT_EQ dword [exc_err], 0x1238
    EXPECT_EQ dword [exc_ip], inject_here
    call inject_start
    mov dword [EVENTINJ], VALID | 0x41  ; regardless of IF
    call run_guest
    EXPECT_EQ dword [exc_vec], 0x41
    EXPECT_EQ dword [exc_ip], inject_here
    call inject_start
    mov dword [EVENTINJ], VALID | 4 << 8 | 0x30
    mov qword [S_RIP], inject_here
    mov qword [V_NRIP], inject_here
    call run_guest
    EXPECT_EQ dword [exc_vec], 0x30
    call inject_start
    mov dword [EVENTINJ], VALID | 2 << 8 | 2
    call run_guest
    EXPECT_EQ dword [exc_vec], 2
    ; CR2 comes from the VMCB with an injected #PF
    call inject_start
    mov qword [S_CR2], 0x5000
    mov dword [EVENTINJ], VALID | 1 << 11 | 3 << 8 | 14
    mov dword [EVENTINJ + 4], 6
    call run_guest
    EXPECT_EQ dword [exc_vec], 14
    EXPECT_EQ dword [exc_cr2], 0x5000
    ; a fault while an injected event is delivered: EXITINTINFO
    mov dword [INTERCEPT_EXC], 1 << 11
    mov byte [IDT64 + 0x41 * 16 + 5], 0x0E
    call inject_start
    mov dword [EVENTINJ], VALID | 0x41
    call run_guest
    EXPECT_MEM EXITCODE, 0x4B
    EXPECT_MEM EXITINFO1, 0x41 * 8 + 2 + 1
    EXPECT_MEM EXITINTINFO, VALID | 0x41
    EXPECT_MEM S_RIP, inject_here
    mov byte [IDT64 + 0x41 * 16 + 5], 0x8E
    mov dword [INTERCEPT_EXC], 0
    mov dword [catch_ip], 0

    ; --- virtual interrupt: V_IRQ bit 8, V_INTR_PRIO 19:16, V_IGN_TPR 20, V_INTR_MASKING 24, vector 39:32
    call svm_fresh
    mov dword [V_INTR], 1 << 8 | 15 << 16 | 1 << 24
    mov dword [V_INTR + 4], 0x42
    mov dword [exc_vec], 0
    mov qword [S_RIP], inject_here
    call run_guest                      ; IF = 0: nothing happens
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_EQ dword [exc_vec], 0
    EXPECT_BITS [V_INTR], 1 << 8, 1 << 8
    call svm_fresh
    mov qword [S_RIP], sti_here
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_EQ dword [exc_vec], 0x42
    EXPECT_EQ dword [exc_ip], sti_after ; behind the shadow
    EXPECT_BITS [V_INTR], 1 << 8, 0     ; taken
    ; intercepted: VINTR before the interrupt
    mov dword [INTERCEPT_1], 1 << 4
    mov dword [V_INTR], 1 << 8 | 15 << 16 | 1 << 24
    call svm_fresh
    mov qword [S_RIP], sti_here
    call run_guest
    EXPECT_MEM EXITCODE, 0x64
    EXPECT_MEM S_RIP, sti_after
    EXPECT_BITS [V_INTR], 1 << 8, 1 << 8
    mov dword [INTERCEPT_1], 0
    ; V_TPR keeps it away
    mov dword [V_INTR], 1 << 8 | 3 << 16 | 1 << 24 | 5
    mov dword [exc_vec], 0
    call svm_fresh
    mov qword [S_RIP], sti_here
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_EQ dword [exc_vec], 0
    ; CR8 is V_TPR
    mov dword [V_INTR], 1 << 24 | 7
    call svm_fresh
    mov qword [S_RIP], cr8_here
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_EQ dword [g_rbx], 7
    EXPECT_BITS [V_INTR], 0xF, 9
    mov rax, cr8
    EXPECT_EQ eax, 0
    mov dword [V_INTR], 0

    ; --- physical interrupts: intercepted, pending for the host behind STGI
    mov dword [INTERCEPT_1], 1
    mov dword [V_INTR], 1 << 24         ; the host's IF counts
    call self_interrupt_40
    mov dword [exc_vec], 0
    call svm_fresh
    mov qword [S_RIP], inject_here
    clgi
    sti
    call run_guest                      ; CLGI holds it back, VMRUN sets GIF, the exit follows
    cli
    EXPECT_MEM EXITCODE, 0x60
    EXPECT_MEM S_RIP, inject_here
    EXPECT_EQ dword [exc_vec], 0x40     ; STGI with IF = 1: now
    mov dword [LAPIC + 0xB0], 0
    ; GIF = 0 holds back interrupts and NMIs
    clgi
    sti
    call self_interrupt_40
    mov dword [LAPIC + 0x310], 0
    mov dword [LAPIC + 0x300], 0x400    ; NMI to this processor
    mov dword [exc_vec], 0
    mov dword [exc_count], 0
    nop
    nop
    EXPECT_EQ dword [exc_count], 0
    stgi
    nop
    cli
    EXPECT_EQ dword [exc_count], 2
    mov dword [LAPIC + 0xB0], 0
    ; not intercepted: the guest's IDT, with the guest's IF (V_INTR_MASKING = 0)
    mov dword [INTERCEPT_1], 0
    mov dword [V_INTR], 0
    call self_interrupt_40
    mov dword [exc_vec], 0
    call svm_fresh
    mov qword [S_RIP], sti_here
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_EQ dword [exc_vec], 0x40
    EXPECT_EQ dword [exc_ip], sti_after
    mov dword [LAPIC + 0xB0], 0
    ; HLT in the guest woken by an intercepted interrupt
    mov dword [INTERCEPT_1], 1
    mov dword [V_INTR], 1 << 24
    mov dword [LAPIC + 0x3E0], 0xB
    mov dword [LAPIC + 0x320], 0x40
    mov dword [LAPIC + 0x380], 20000
    call svm_fresh
    mov qword [S_RIP], hlt_here
    clgi
    sti
    call run_guest
    cli
    EXPECT_MEM EXITCODE, 0x60
    EXPECT_MEM S_RIP, hlt_here + 2
    mov dword [LAPIC + 0xB0], 0
    mov dword [INTERCEPT_1], 0
    mov dword [V_INTR], 0

    ; --- interrupt shadow is saved and loaded
    mov dword [INTERCEPT_1], 1 << 18    ; CPUID
    call svm_fresh
    mov qword [S_RIP], shadow_here
    call run_guest
    EXPECT_MEM EXITCODE, 0x72
    EXPECT_BITS [V_SHADOW], 1, 1
    mov dword [INTERCEPT_1], 0

    ; --- TSC offset
    mov rax, 1 << 40
    mov [V_TSC_OFFSET], rax
    call svm_fresh
    mov qword [S_RIP], tsc_here
    call run_guest
    mov rax, [g_rdx]
    cmp eax, 1 << 8
    EXPECT_IF ae
    rdtsc
    cmp edx, 1 << 8
    EXPECT_IF b
    mov qword [V_TSC_OFFSET], 0

    ; --- VMSAVE and VMLOAD move FS, GS, TR, LDTR, KernelGsBase, STAR ... SYSENTER
    mov ecx, 0xC0000102
    mov eax, 0x1234
    xor edx, edx
    wrmsr
    mov eax, FREE + 0x18000
    vmsave
    mov ecx, 0xC0000102
    xor eax, eax
    xor edx, edx
    wrmsr
    mov eax, FREE + 0x18000
    vmload
    mov ecx, 0xC0000102
    rdmsr
    EXPECT_EQ eax, 0x1234
    EXPECT_EQ dword [FREE + 0x18000 + 0x620], 0x1234
    PASS

inject_start:
    call svm_fresh
    mov qword [S_RIP], inject_here
    mov dword [catch_ip], inject_end
    mov dword [catch_sp], GUEST_STACK - 0x100
    mov dword [exc_vec], -1
    ret
self_interrupt_40:
    mov dword [LAPIC + 0x80], 0
    mov dword [LAPIC + 0x300], 0x40040
    ret
inject_here:
    nop
    nop
inject_end:
    vmmcall
sti_here:
    sti
    nop
sti_after:
    nop
    vmmcall
hlt_here:
    sti
    hlt
    vmmcall
cr8_here:
    mov rbx, cr8
    mov ecx, 9
    mov cr8, rcx
    vmmcall
shadow_here:
    sti
    cpuid
tsc_here:
    rdtsc
    vmmcall
