; nRIP save and decode assists: the next instruction's address, operands and instruction bytes in the
; VMCB, on models that have them; on the others the fields stay as they were.
; models: max-amd, barcelona, opteron-f
; manual: APM2 15.7.1, 15.8
%include "guest.inc"
%include "long.inc"
%include "svm.inc"

%define BYTES    (VMCB + 0x0D0)         ; count, then up to 15 bytes
%define KEPT     0x5A5A5A5A
%define HOLE     0x7FFFF000             ; not mapped
%define NPDPT    (NPT_TABLES + 0x1000)
%define NPD      (NPT_TABLES + 0x2000)
%define GPA      0x1000000              ; not present in the nested tables
%define PD32     (FREE + 0x30000)

; SAVED code, instruction: the exit saves the address behind it. ZERO: an exit that has none.
%macro run_here_ 1+
    call svm_fresh
    mov qword [V_NRIP], KEPT
    mov qword [S_RIP], %%guest
    call run_guest
    jmp %%check
%%guest:
    %1
%%next:
    vmmcall
%%check:
    mov r12d, %%next
%endmacro
%macro saved_ 3+
    run_here_ %3
    expect_mem_ %1, EXITCODE, %2
    call wanted_next
    expect_eq_plain_ %1, r12, [V_NRIP]
%endmacro
%define SAVED saved_ __?LINE?__,
%macro zero_ 3+
    run_here_ %3
    expect_mem_ %1, EXITCODE, %2
    xor r12d, r12d
    call wanted_next
    expect_eq_plain_ %1, r12, [V_NRIP]
%endmacro
%define ZERO zero_ __?LINE?__,
; INFO code, EXITINFO1, instruction: with decode assists.
%macro info_ 4+
    run_here_ %4
    expect_mem_ %1, EXITCODE, %2
    mov r12, %3
    expect_eq_plain_ %1, r12, [EXITINFO1]
%endmacro
%define INFO info_ __?LINE?__,
; FETCHED code, instruction: with decode assists its bytes are in the VMCB, at least all of its own.
%macro fetched_ 3+
    call svm_fresh
    mov qword [S_RIP], %%guest
    mov byte [BYTES], 0x77
    call run_guest
    jmp %%check
%%guest:
    %3
%%next:
    vmmcall
%%check:
    expect_mem_ %1, EXITCODE, %2
    cmp byte [BYTES], %%next - %%guest
    expect_if_ %1, ae
    cmp byte [BYTES], 15
    expect_if_ %1, be
    mov esi, %%guest
    mov edi, BYTES + 1
    movzx ecx, byte [BYTES]
    repe cmpsb
    expect_if_ %1, e
%endmacro
%define FETCHED fetched_ __?LINE?__,

main:
    ENTER_LONG
    call svm_start
    mov eax, 0x8000000A
    cpuid
    mov [svm_features], edx

    ; --- nRIP: instruction intercepts (15.9), MSR and IOIO, INT3, INTO and BOUND
    SAVED 0x81, vmmcall
    mov dword [INTERCEPT_1], -1 & ~(0x1F | 1 << 31)
    SAVED 0x72, cpuid
    SAVED 0x6E, rdtsc
    SAVED 0x6F, rdpmc
    SAVED 0x70, pushfq
    SAVED 0x71, popfq
    SAVED 0x74, iretq
    SAVED 0x75, int 0x30
    SAVED 0x76, invd
    SAVED 0x78, hlt
    SAVED 0x79, invlpg [FREE]
    SAVED 0x7A, invlpga
    SAVED 0x66, sidt [SCRATCH]
    SAVED 0x6B, o32 lgdt [gdtr]
    SAVED 0x6C, lldt ax
    mov byte [IOPM + 0x81 / 8], 1 << 1
    SAVED 0x7B, in al, 0x81
    SAVED 0x7B, out 0x81, ax
    mov byte [MSRPM + 0x174 / 4], 3
    mov qword [g_rcx], 0x174
    SAVED 0x7C, rdmsr
    SAVED 0x7C, wrmsr
    mov dword [INTERCEPT_1], 0
    mov dword [INTERCEPT_2], 0x3FF & ~(1 << 6 | 1 << 7)
    SAVED 0x80, vmrun
    SAVED 0x84, stgi
    SAVED 0x85, clgi
    SAVED 0x88, {db 0xF1}
    SAVED 0x89, wbinvd
    mov dword [INTERCEPT_2], 3
    mov dword [INTERCEPT_CR], 1 << 0 | 1 << (16 + 4) | 1 << (16 + 0)
    SAVED 0x00, mov rbx, cr0
    SAVED 0x00, smsw [SCRATCH]
    SAVED 0x10, clts
    mov dword [INTERCEPT_CR], 0
    mov dword [INTERCEPT_DR], 1 << 7 | 1 << (16 + 2)
    SAVED 0x27, mov rbx, dr7
    SAVED 0x32, mov dr2, r11
    mov dword [INTERCEPT_DR], 0
    mov dword [INTERCEPT_EXC], -1 & ~(1 << 2)
    SAVED 0x43, int3
    ; every other exception has none
    ZERO 0x46, ud2
    mov qword [g_rcx], 0
    ZERO 0x40, div ecx
    ZERO 0x4E, {mov eax, [HOLE]}
    mov byte [g_rbx + 7], 0x70          ; not canonical
    ZERO 0x4D, {mov rax, [rbx]}
    mov dword [INTERCEPT_EXC], 0
    ; nor has a shutdown
    mov byte [IDT64 + 6 * 16 + 5], 0
    mov byte [IDT64 + 13 * 16 + 5], 0
    mov byte [IDT64 + 8 * 16 + 5], 0
    mov dword [INTERCEPT_1], 1 << 31
    ZERO 0x7F, ud2
    mov byte [IDT64 + 6 * 16 + 5], 0x8E
    mov byte [IDT64 + 13 * 16 + 5], 0x8E
    mov byte [IDT64 + 8 * 16 + 5], 0x8E
    mov dword [INTERCEPT_1], 0
    ; BOUND has one too, though #BR is a fault; so has INTO: 32-bit code
    mov dword [INTERCEPT_EXC], 1 << 4 | 1 << 5
    mov r12d, bound32.next
    mov ebx, bound32
    mov ecx, 0x45
    call run_32
    mov r12d, into32.next
    mov ebx, into32
    mov ecx, 0x44
    call run_32
    mov dword [INTERCEPT_EXC], 0
    ; a software interrupt that is injected returns to nRIP, where there is one
    test dword [svm_features], 1 << 3
    jz .no_injection
    call svm_fresh
    mov dword [EVENTINJ], 1 << 31 | 4 << 8 | 0x30
    mov qword [S_RIP], soft_interrupt
    mov qword [V_NRIP], soft_interrupt.next
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_MEM S_RIP, soft_interrupt.next
    EXPECT_EQ dword [exc_vec], 0x30
    EXPECT_EQ dword [exc_ip], soft_interrupt.next
.no_injection:

    ; --- decode assists
    test dword [svm_features], 1 << 7
    jz .done
    ; MOV CRn: bit 63 and the register; CLTS, LMSW, SMSW are told from it by bit 63 = 0
    mov dword [INTERCEPT_CR], 1 << 0 | 1 << 8 | 1 << (16 + 3) | 1 << (16 + 0) | 1 << (16 + 8)
    INFO 0x00, 1 << 63 | 3, mov rbx, cr0
    INFO 0x00, 1 << 63 | 9, mov r9, cr0
    INFO 0x00, 0, smsw bx
    INFO 0x10, 0, clts
    INFO 0x10, 0, lmsw bx
    mov rax, cr3
    mov [g_rsi], rax
    INFO 0x13, 1 << 63 | 6, mov cr3, rsi
    mov rax, cr0
    mov [g_rdi], rax
    INFO 0x10, 1 << 63 | 7, mov cr0, rdi
    INFO 0x08, 1 << 63 | 15, mov r15, cr8
    mov dword [INTERCEPT_CR], 0
    ; MOV DRn: the register alone
    mov dword [INTERCEPT_DR], 1 << 7 | 1 << (16 + 2)
    INFO 0x27, 14, mov r14, dr7
    INFO 0x32, 2, mov dr2, rdx
    mov dword [INTERCEPT_DR], 0
    ; INT n: the vector; INVLPG: the linear address
    mov dword [INTERCEPT_1], 1 << 21 | 1 << 25
    INFO 0x75, 0x31, int 0x31
    INFO 0x75, 0x80, int 0x80
    mov qword [g_rbx], 0x12345678
    mov qword [g_rcx], 4
    INFO 0x79, 0x12345678 + 4 * 8 - 0x78, invlpg [rbx + rcx * 8 - 0x78]
    mov dword [INTERCEPT_1], 0
    ; I/O with a memory operand: its segment in 12:10 (ES CS SS DS FS GS)
    mov dword [INTERCEPT_1], 1 << 27
    mov qword [g_rdx], 0x81
    mov qword [g_rsi], FREE
    mov qword [g_rdi], FREE
    INFO 0x7B, 0x81 << 16 | 3 << 10 | 1 << 9 | 1 << 4 | 1 << 2, outsb
    INFO 0x7B, 0x81 << 16 | 1 << 9 | 1 << 4 | 1 << 2 | 1, insb
    INFO 0x7B, 0x81 << 16 | 5 << 10 | 1 << 8 | 1 << 5 | 1 << 2, {gs a32 outsw}
    mov dword [INTERCEPT_1], 0
    ; page faults of data accesses: the instruction's bytes; none for fetches and other exits
    mov dword [INTERCEPT_EXC], 1 << 14
    FETCHED 0x4E, {mov eax, [HOLE]}
    FETCHED 0x4E, {lock add qword [HOLE + 8], 0x12345678}
    call svm_fresh
    mov qword [S_RIP], HOLE
    mov byte [BYTES], 0x77
    call run_guest
    EXPECT_MEM EXITCODE, 0x4E
    EXPECT_EQ byte [BYTES], 0
    mov dword [INTERCEPT_EXC], 0
    mov byte [BYTES], 0x77
    EXPECT_EXIT 0x81, 0, 0, vmmcall
    EXPECT_EQ byte [BYTES], 0
    ; the same for nested page faults
    mov edi, NPT_TABLES
    mov ecx, 0x3000 / 4
    xor eax, eax
    rep stosd
    mov dword [NPT_TABLES], NPDPT | 7
    mov dword [NPDPT], NPD | 7
    mov edi, NPD
    mov eax, 0x87
.pd:
    mov [edi], eax
    add eax, 0x200000
    add edi, 8
    cmp edi, NPD + 0x1000
    jb .pd
    mov dword [NPD + (GPA >> 21) * 8], 0
    mov qword [NP_ENABLE], 1
    mov qword [N_CR3], NPT_TABLES
    mov rax, 0x0007040600070406
    mov [S_PAT], rax
    FETCHED 0x400, {mov eax, [GPA]}
    FETCHED 0x400, {mov byte [GPA + 5], 1}
    call svm_fresh
    mov qword [S_RIP], GPA
    mov byte [BYTES], 0x77
    call run_guest
    EXPECT_MEM EXITCODE, 0x400
    EXPECT_EQ byte [BYTES], 0
.done:
    PASS

; A 32-bit guest at EBX must exit with ECX and nRIP = R12.
run_32:
    call set_32
    mov [S_RIP], rbx
    mov qword [V_NRIP], KEPT
    mov qword [g_rbx], 5
    push rcx
    call run_guest
    pop rcx
    EXPECT_EQ rcx, [EXITCODE]
    call wanted_next
    EXPECT_EQ r12, [V_NRIP]
    ret
set_32:
    push rcx
    push rbx
    mov dword [PD32], 0x87
    mov dword [PD32 + 4], 0x400087
    call svm_fresh
    and dword [S_EFER], ~0x500
    and dword [S_CR4], ~(1 << 5)
    or dword [S_CR4], 1 << 4
    mov qword [S_CR3], PD32
    svm_segment_ S_CS, CODE32, 0xC9B, 0xFFFFFFFF, 0
    svm_segment_ S_TR, TSSSEL, 0x8B, 0x2067, TSS32
    pop rbx
    pop rcx
    ret
soft_interrupt:
    int 0x30
.next:
    vmmcall
bits 32
bound32:
    bound ebx, [bounds]
.next:
    vmmcall
into32:
    mov al, 0x7F
    inc al
    into
.next:
    vmmcall
align 8
bounds: dd 0, 1
bits 64
; R12 = what the nRIP field must hold.
wanted_next:
    test dword [svm_features], 1 << 3
    jnz .has
    mov r12d, KEPT
.has:
    ret

align 8
svm_features: dd 0
