; VMCB clean bits: what is marked as changed is loaded, what has no bit is always loaded, another VMCB is
; loaded whole. Models without clean bits behave the same.
; models: max-amd, barcelona, opteron-f
; manual: APM2 15.15
%include "guest.inc"
%include "long.inc"
%include "svm.inc"

%define ALL   0x3FF                     ; intercepts to CR2 (bits 9:0)
%define VMCB2 (FREE + 0x40000)
%define IOPM2 (FREE + 0x44000)
; Bits of the clean field (table 15-8).
%define C_I    (1 << 0)
%define C_IOPM (1 << 1)
%define C_ASID (1 << 2)
%define C_TPR  (1 << 3)
%define C_NP   (1 << 4)
%define C_CRX  (1 << 5)
%define C_DRX  (1 << 6)
%define C_DT   (1 << 7)
%define C_SEG  (1 << 8)
%define C_CR2  (1 << 9)

; RUN changed bits, guest code: goes on with the VMCB as it is; all other bits say clean.
%macro run_ 2+
    mov dword [V_CLEAN], ALL & ~(%1)
    mov qword [S_RIP], %%guest
    call run_guest
    jmp %%check
%%guest:
    %2
    vmmcall
%%check:
    cmp dword [V_CLEAN], ALL & ~(%1)    ; the processor only reads it
    jne bad_clean
%endmacro
%define RUN run_
%macro RUN_AT 2
    mov dword [V_CLEAN], ALL & ~(%1)
    mov qword [S_RIP], %2
    call run_guest
%endmacro

main:
    ENTER_LONG
    call svm_start
    ; the first run loads everything
    mov dword [V_CLEAN], 0
    mov qword [S_RIP], svm_guest_nop
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    ; nothing changed but what is never cached: RIP, and here RAX, RSP, RFLAGS
    mov rax, 0x1122334455667788
    mov [S_RAX], rax
    RUN 0, {mov rbx, rax}
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_MEM g_rbx, 0x1122334455667788
    mov qword [S_RSP], GUEST_STACK - 0x48
    RUN 0, {mov rbx, rsp}
    EXPECT_MEM g_rbx, GUEST_STACK - 0x48
    mov qword [S_RFLAGS], 0xC7
    RUN_AT 0, flags_guest
    EXPECT_MEM g_rbx, 0xC7
    mov qword [S_RFLAGS], 2
    ; EVENTINJ and the interrupt shadow
    mov qword [exc_count], 0
    mov dword [EVENTINJ], 1 << 31 | 0x33 ; an external interrupt
    RUN 0, nop
    EXPECT_EQ dword [exc_count], 1
    EXPECT_EQ dword [exc_vec], 0x33
    EXPECT_MEM EXITCODE, 0x81
    mov dword [INTERCEPT_EXC], 1 << 6
    mov dword [V_SHADOW], 1
    RUN C_I, ud2                        ; exits before the shadow has passed
    EXPECT_MEM EXITCODE, 0x46
    EXPECT_EQ dword [V_SHADOW], 1
    mov dword [INTERCEPT_EXC], 0
    mov dword [V_SHADOW], 0

    ; --- each group, marked as changed
    mov dword [INTERCEPT_1], 1 << 18 | 1 << 27
    RUN C_I, cpuid
    EXPECT_MEM EXITCODE, 0x72
    RUN 0, cpuid
    EXPECT_MEM EXITCODE, 0x72
    mov dword [INTERCEPT_1], 1 << 27
    RUN C_I, cpuid
    EXPECT_MEM EXITCODE, 0x81
    mov dword [V_TSC_OFFSET + 4], 0x100
    RUN C_I, rdtsc
    EXPECT_BITS [g_rdx], 0xFFFFFF00, 0x100
    mov dword [V_TSC_OFFSET + 4], 0
    RUN C_I, {in al, 0x81}
    EXPECT_MEM EXITCODE, 0x81
    mov byte [IOPM2 + 0x81 / 8], 1 << 1
    mov qword [V_IOPM], IOPM2
    RUN C_IOPM, {in al, 0x81}
    EXPECT_MEM EXITCODE, 0x7B
    ; the maps themselves are memory, not VMCB
    mov byte [IOPM2 + 0x81 / 8], 0
    RUN 0, {in al, 0x81}
    EXPECT_MEM EXITCODE, 0x81
    mov dword [V_ASID], 2
    RUN C_ASID, nop
    EXPECT_MEM EXITCODE, 0x81
    mov dword [V_INTR], 1 << 24 | 5     ; V_INTR_MASKING, V_TPR
    RUN C_TPR, {mov rbx, cr8}
    EXPECT_MEM g_rbx, 5
    RUN 0, {mov rbx, cr8}
    EXPECT_MEM g_rbx, 5
    mov eax, 0x8000000A
    cpuid
    test edx, 1
    jz .no_npt
    mov dword [NPT_TABLES], PDPT | 7
    mov qword [NP_ENABLE], 1
    mov qword [N_CR3], NPT_TABLES
    mov rax, 0x0007040600070401
    mov [S_PAT], rax
    mov qword [g_rcx], 0x277
    RUN C_NP, rdmsr
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_BITS [S_RAX], 0xFF, 1
    EXPECT_BITS [S_PAT], 0xFF, 1
    mov byte [S_PAT], 4
    RUN C_NP, rdmsr
    EXPECT_BITS [S_RAX], 0xFF, 4
    mov qword [NP_ENABLE], 0
    RUN C_NP, nop
    EXPECT_MEM EXITCODE, 0x81
.no_npt:
    or dword [S_CR0], 1 << 18
    RUN C_CRX, {mov rbx, cr0}
    EXPECT_BITS [g_rbx], 1 << 18, 1 << 18
    xor dword [S_CR4], 1 << 7
    RUN C_CRX, {mov rbx, cr4}
    mov rax, cr4
    xor eax, 1 << 7
    EXPECT_EQ [g_rbx], eax
    mov dword [S_DR6], 0xFFFF0FF5
    RUN C_DRX, {mov rbx, dr6}
    EXPECT_EQ dword [g_rbx], 0xFFFF0FF5
    mov dword [S_GDTR + 4], 0x1234 % (gdt_end - gdt)
    RUN C_DT, {sgdt [SCRATCH]}
    EXPECT_EQ word [SCRATCH], 0x1234 % (gdt_end - gdt)
    mov dword [S_GDTR + 4], gdt_end - gdt - 1
    RUN C_DT, nop
    mov word [S_DS], 0x18
    RUN C_SEG, {mov ebx, ds}
    EXPECT_EQ dword [g_rbx], 0x18
    mov word [S_DS], DATA32
    RUN C_SEG, nop
    mov qword [S_CR2], 0x12345
    RUN C_CR2, {mov rbx, cr2}
    EXPECT_MEM g_rbx, 0x12345
    ; what the guest changes is written back, whatever the bits
    mov rax, cr0
    and eax, ~(1 << 18)
    mov [g_rsi], rax
    RUN 0, {mov cr0, rsi}
    EXPECT_BITS [S_CR0], 1 << 18, 0
    mov qword [g_rsi], 0x54321
    RUN 0, {mov cr2, rsi}
    EXPECT_MEM S_CR2, 0x54321
    RUN 0, {mov rbx, cr2}
    EXPECT_MEM g_rbx, 0x54321

    ; --- another VMCB with all bits set is loaded all the same, and then the first one again
    mov esi, VMCB
    mov edi, VMCB2
    mov ecx, 0x1000 / 4
    rep movsd
    mov dword [VMCB2 + V_CLEAN - VMCB], ALL
    mov dword [VMCB2 + INTERCEPT_1 - VMCB], 1 << 18
    mov qword [VMCB2 + S_CR2 - VMCB], 0x777
    mov qword [VMCB2 + S_RIP - VMCB], other_guest
    mov eax, VMCB2
    clgi
    vmrun
    stgi
    mov r12, rbx
    EXPECT_MEM VMCB2 + EXITCODE - VMCB, 0x72
    EXPECT_EQ r12, 0x777
    RUN_AT 0, cpuid_guest
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_MEM g_rbx, 0x54321
    PASS
flags_guest:
    pushfq
    pop rbx
    vmmcall
cpuid_guest:
    cpuid
    mov rbx, cr2
    vmmcall
other_guest:
    mov rbx, cr2
    cpuid
    vmmcall
bad_clean:
    FAIL
