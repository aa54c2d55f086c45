; Exceptions in 64-bit mode: frames, stacks, IST, instructions that are gone, canonical checks.
; models: Westmere, barcelona
; manual: SDM 3A 6.14, 6.15; SDM 2 (64-bit mode exceptions)
%include "guest.inc"
%include "long.inc"

main:
    ENTER_LONG
    xor edx, edx
    xor ecx, ecx
    EXPECT_FAULT 0, 0, div rcx
    EXPECT_TRAP 3, 0, int3
    EXPECT_FAULT 6, 0, ud2
    ; invalid in 64-bit mode
    EXPECT_FAULT 6, 0, {db 0x06}        ; PUSH ES
    EXPECT_FAULT 6, 0, {db 0x1F}        ; POP DS
    EXPECT_FAULT 6, 0, {db 0x27}        ; DAA
    EXPECT_FAULT 6, 0, {db 0x37}        ; AAA
    EXPECT_FAULT 6, 0, {db 0x60}        ; PUSHA
    EXPECT_FAULT 6, 0, {db 0x61}
    EXPECT_FAULT 6, 0, {db 0x82, 0xC0, 1}
    EXPECT_FAULT 6, 0, {db 0x9A, 0, 0, 0, 0, 8, 0} ; CALL far
    EXPECT_FAULT 6, 0, {db 0xEA, 0, 0, 0, 0, 8, 0}
    EXPECT_FAULT 6, 0, {db 0xCE}        ; INTO
    EXPECT_FAULT 6, 0, {db 0xD4, 10}    ; AAM
    EXPECT_FAULT 6, 0, {db 0xD6}        ; SALC
    EXPECT_FAULT 6, 0, {db 0xC4, 0xC0}  ; LES with a register, no VEX here
    EXPECT_FAULT 6, 0, {db 0xF0, 0x48, 0x01, 0xC0}
    EXPECT_FAULT 6, 0, {db 0x0F, 0x20, 0xC8}

    ; RSP is pushed always and aligned to 16 first
    mov rax, rsp
    sub rsp, 3
    mov rbx, rsp
    EXPECT_TRAP 3, 0, int3
    EXPECT_EQ dword [exc_sp], ebx
    mov ecx, [exc_frame]
    and ecx, 15
    EXPECT_EQ ecx, 8                    ; five pushes below an aligned stack
    mov rsp, rax
    EXPECT_EQ dword [exc_ss], DATA32
    ; SS becomes null on the way in from ring 3; its selector's RPL is the new CPL
    EXPECT_USER 6, 0, ud2
    EXPECT_EQ dword [exc_frame], STACK0B - 40
    ; IST
    mov byte [IDT64 + 6 * 16 + 4], 2
    EXPECT_FAULT 6, 0, ud2
    EXPECT_EQ dword [exc_frame], IST2 - 40
    mov byte [IDT64 + 6 * 16 + 4], 0

    ; selectors
    mov eax, 0x300
    EXPECT_FAULT 13, 0x300, mov ds, ax
    xor eax, eax
    mov ss, ax                          ; null SS is fine at CPL 0 in 64-bit mode
    push rax
    pop rax
    mov eax, DATA32
    mov ss, ax
    xor ecx, ecx
    EXPECT_USER 13, 0, {mov ss, cx}     ; ... but not at CPL 3
    ; IRET always pops SS:RSP; to ring 3 with null SS: #GP(0)
    mov rax, rsp
    push 0
    push STACK3
    push 2
    push CODE64U
    push main
    EXPECT_FAULT 13, 0, iretq
    mov rsp, rax
    ; to a non-canonical address: #GP(0) at the IRET
    push DATA32
    push rax
    push 2
    push CODE64
    mov rbx, 1 << 47
    push rbx
    EXPECT_FAULT 13, 0, iretq
    lea rsp, [rsp + 40]

    ; gates: 16-byte entries; a bad type is #GP(vector * 8 + 2)
    mov byte [IDT64 + 0x30 * 16 + 5], 0x86 ; 16-bit gate
    EXPECT_FAULT 13, 0x30 * 8 + 2, int 0x30
    mov byte [IDT64 + 0x30 * 16 + 5], 0x85 ; task gate
    EXPECT_FAULT 13, 0x30 * 8 + 2, int 0x30
    mov byte [IDT64 + 0x30 * 16 + 5], 0x0E
    EXPECT_FAULT 11, 0x30 * 8 + 2, int 0x30
    mov byte [IDT64 + 0x30 * 16 + 5], 0x8E
    mov word [IDT64 + 0x30 * 16 + 2], CODE32 ; target must be 64-bit code
    EXPECT_FAULT 13, CODE32, int 0x30
    mov word [IDT64 + 0x30 * 16 + 2], CODE64
    EXPECT_TRAP 0x30, 0, int 0x30
    EXPECT_USER 13, 0x30 * 8 + 2, int 0x30
    ; a trap gate keeps IF, an interrupt gate clears it
    mov byte [IDT64 + 0x31 * 16 + 5], 0x8F
    mov qword [hook_ip], .note_flags
    sti
    nop
    int 0x31
    cli
    EXPECT_BITS [noted], 0x200, 0x200
    sti
    nop
    int 0x32
    cli
    EXPECT_BITS [noted], 0x200, 0
    EXPECT_BITS [exc_flags], 0x200, 0x200
    mov qword [hook_ip], 0

    ; A stack that is not canonical: #SS
    mov byte [IDT64 + 12 * 16 + 4], 1
    mov rbp, 1 << 47
    EXPECT_FAULT 12, 0, {mov rax, [rbp]}
    xor ebp, ebp

    ; XMM and x87 state is off until the OS says so
    EXPECT_FAULT 6, 0, {movaps xmm0, xmm1} ; CR4.OSFXSR = 0
    mov rax, cr4
    or eax, 1 << 9 | 1 << 10
    mov cr4, rax
    mov rax, cr0
    or eax, 8
    mov cr0, rax
    EXPECT_FAULT 7, 0, {movaps xmm0, xmm1}
    EXPECT_FAULT 7, 0, fld1
    clts
    fninit
    mov qword [SCRATCH], 0
    EXPECT_FAULT 13, 0, {movaps xmm0, [SCRATCH + 8]} ; alignment

    ; MSRs: canonical checks, reserved bits
    mov ecx, 0xC0000102
    mov edx, 0x8000
    xor eax, eax
    EXPECT_FAULT 13, 0, wrmsr
    mov ecx, 0xC0000082
    EXPECT_FAULT 13, 0, wrmsr
    PASS
.note_flags:
    pushfq
    pop rax
    mov [noted], eax
    ret
noted: dd 0
