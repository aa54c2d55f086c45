; Exceptions in 32-bit protected mode: vector, error code, pushed EIP and flags.
; models: Westmere, barcelona
; manual: SDM 3A 6.8.3, 6.13, 6.15
%include "guest.inc"
%include "long.inc"

bound_pair: dd 1, 5

%macro popfd_all 0
    push dword 0x3202
    popfd
%endmacro

main:
    ; #DE: division by zero and quotient overflow; nothing changes
    mov eax, 7
    xor edx, edx
    xor ecx, ecx
    EXPECT_FAULT 0, 0, div ecx
    EXPECT_EQ eax, 7
    mov edx, 7
    mov ecx, 7
    EXPECT_FAULT 0, 0, div ecx
    mov eax, 0x80000000
    mov edx, -1
    mov ecx, -1
    EXPECT_FAULT 0, 0, idiv ecx
    EXPECT_FAULT 0, 0, {db 0xD4, 0}     ; AAM 0

    ; #BP and #OF are traps; INTO does nothing with OF = 0
    EXPECT_TRAP 3, 0, int3
    EXPECT_TRAP 3, 0, int 3
    clc
    xor eax, eax
    into
    mov eax, 0x7FFFFFFF
    inc eax
    EXPECT_TRAP 4, 0, into

    ; #BR
    mov eax, 6
    EXPECT_FAULT 5, 0, bound eax, [bound_pair]
    mov eax, 0
    EXPECT_FAULT 5, 0, bound eax, [bound_pair]
    mov eax, 5
    bound eax, [bound_pair]
    mov eax, 1
    bound eax, [bound_pair]

    ; #UD
    EXPECT_FAULT 6, 0, ud2
    EXPECT_FAULT 6, 0, {db 0x0F, 0xFF, 0xC0}
    EXPECT_FAULT 6, 0, {db 0xF0, 0x90}             ; LOCK NOP
    EXPECT_FAULT 6, 0, {db 0xF0, 0x01, 0xC0}       ; LOCK ADD EAX, EAX
    EXPECT_FAULT 6, 0, {db 0xF0, 0x39, 0x00}       ; LOCK CMP [EAX], EAX
%ifndef SECOND_OPINION
    EXPECT_FAULT 6, 0, {db 0xF0, 0x8B, 0x00}       ; LOCK MOV EAX, [EAX]
%endif
    EXPECT_FAULT 6, 0, {db 0x8E, 0xC8}             ; MOV CS, AX
    EXPECT_FAULT 6, 0, {db 0x8D, 0xC0}             ; LEA EAX, EAX
    EXPECT_FAULT 6, 0, {db 0x0F, 0x20, 0xC8}       ; MOV EAX, CR1
    EXPECT_FAULT 6, 0, {db 0xC5, 0xC0}             ; LDS with a register
    EXPECT_FAULT 6, 0, {db 0xFE, 0xF8}             ; group 4 /7
    EXPECT_FAULT 6, 0, {db 0xFF, 0xF8}             ; group 5 /7
    EXPECT_FAULT 6, 0, {db 0x0F, 0xBA, 0xC0, 1}    ; group 8 /0

    ; The 15-byte limit: #GP(0)
    EXPECT_FAULT 13, 0, {times 15 db 0x66}
    times 14 db 0x66
    nop

    ; #GP of privileged registers
    mov eax, cr0
    and eax, ~(1 << 29)
    or eax, 1 << 29                     ; NW without CD
    and eax, ~(1 << 30)
%ifndef SECOND_OPINION
    EXPECT_FAULT 13, 0, mov cr0, eax
    mov eax, 1 << 31                    ; PG without PE
    EXPECT_FAULT 13, 0, mov cr0, eax
    mov eax, cr4
    or eax, 1 << 31
    EXPECT_FAULT 13, 0, mov cr4, eax
    mov ecx, 0x12345678
    EXPECT_FAULT 13, 0, rdmsr
    EXPECT_FAULT 13, 0, wrmsr
    mov ecx, 0xC0000080                 ; EFER reserved bits
    mov eax, 1 << 1
    xor edx, edx
    EXPECT_FAULT 13, 0, wrmsr
%endif

    ; #GP with selectors
    mov eax, 0x200                      ; past the GDT's limit
    EXPECT_FAULT 13, 0x200, mov ds, ax
    mov eax, 0x201
    EXPECT_FAULT 13, 0x200, mov ds, ax
    mov eax, 4                          ; LDT selector without an LDT
    EXPECT_FAULT 13, 4, mov es, ax
    xor eax, eax
    EXPECT_FAULT 13, 0, mov ss, ax
    mov eax, DATA32U                    ; RPL 3 at CPL 0
    EXPECT_FAULT 13, DATA32U & ~3, mov ss, ax
    mov eax, CODE32
    EXPECT_FAULT 13, CODE32, mov ss, ax
    mov eax, TSSSEL
    EXPECT_FAULT 13, TSSSEL, mov ds, ax
    EXPECT_FAULT 13, 0, {jmp 0:0}
    EXPECT_FAULT 13, DATA32, {jmp DATA32:0}
    EXPECT_FAULT 13, CODE32U & ~3, {jmp CODE32U:0}
    ; INT through a gate past the limit or a bad gate: error = vector * 8 + 2
    EXPECT_FAULT 13, 0x80 * 8 + 2, int 0x80
    mov byte [IDT32 + 0x30 * 8 + 5], 0x80 ; present, type 0
    EXPECT_FAULT 13, 0x30 * 8 + 2, int 0x30
    mov byte [IDT32 + 0x30 * 8 + 5], 0x0E ; not present: #NP
    EXPECT_FAULT 11, 0x30 * 8 + 2, int 0x30
    mov byte [IDT32 + 0x30 * 8 + 5], 0x8E
    mov word [IDT32 + 0x30 * 8 + 2], 0  ; null code selector
    EXPECT_FAULT 13, 0, int 0x30
    mov word [IDT32 + 0x30 * 8 + 2], DATA32
    EXPECT_FAULT 13, DATA32, int 0x30
    mov word [IDT32 + 0x30 * 8 + 2], CODE32
    EXPECT_TRAP 0x30, 0, int 0x30

    ; #NP, #SS of absent segments
    SET_DESC FREESEL, 0x00CF1300, 0x0000FFFF       ; data, not present
    mov eax, FREESEL
    EXPECT_FAULT 11, FREESEL, mov ds, ax
    EXPECT_FAULT 11, FREESEL, mov gs, ax
    EXPECT_FAULT 12, FREESEL, mov ss, ax
    SET_DESC FREESEL, 0x00CF1B00, 0x0000FFFF       ; code, not present
    EXPECT_FAULT 11, FREESEL, {jmp FREESEL:0}
    EXPECT_FAULT 11, FREESEL, {call FREESEL:0}

    ; User mode
    EXPECT_USER NO_FAULT, 0, nop
    EXPECT_USER 13, 0, hlt
    EXPECT_USER 13, 0, cli
    EXPECT_USER 13, 0, sti
    EXPECT_USER 13, 0, clts
    EXPECT_USER 13, 0, {mov eax, cr0}
    EXPECT_USER 13, 0, {mov cr3, eax}
    EXPECT_USER 13, 0, {mov eax, dr7}
    EXPECT_USER 13, 0, lgdt [gdtr]
    EXPECT_USER 13, 0, lidt [idtr32]
    EXPECT_USER 13, 0, lldt ax
    EXPECT_USER 13, 0, ltr ax
    EXPECT_USER 13, 0, lmsw ax
    EXPECT_USER 13, 0, invlpg [0]
    EXPECT_USER 13, 0, wbinvd
    EXPECT_USER 13, 0, rdmsr
    EXPECT_USER 13, 0, {in al, 0x80}
    EXPECT_USER 13, 0, {out dx, eax}
    EXPECT_USER NO_FAULT, 0, smsw ax
    EXPECT_USER NO_FAULT, 0, sgdt [SCRATCH]
    EXPECT_USER NO_FAULT, 0, str ax
    EXPECT_USER 13, 0x30 * 8 + 2, int 0x30          ; gate DPL 0
    EXPECT_USER 13, CODE32, {jmp CODE32:0}
    EXPECT_USER 6, 0, ud2
    xor ecx, ecx
    EXPECT_USER 0, 0, {div ecx}
    mov dword [user_flags], 0x3002                  ; IOPL 3
    EXPECT_USER NO_FAULT, 0, cli
    EXPECT_USER NO_FAULT, 0, {in al, 0x80}
    mov dword [user_flags], 2
    ; POPF in ring 3 leaves IF and IOPL alone
    EXPECT_USER NO_FAULT, 0, popfd_all
    pushfd
    pop eax
    EXPECT_BITS [exc_flags], 0x3200, 0
    ; CR4.TSD
    EXPECT_USER NO_FAULT, 0, rdtsc
    mov eax, cr4
    or eax, 4
    mov cr4, eax
    EXPECT_USER 13, 0, rdtsc
    rdtsc
    mov eax, cr4
    and eax, ~4
    mov cr4, eax

    ; #AC: only ring 3 with AM and AC
    mov eax, cr0
    or eax, 1 << 18
    mov cr0, eax
    EXPECT_USER NO_FAULT, 0, {mov eax, [SCRATCH + 1]}
    mov dword [user_flags], 2 | 1 << 18
%ifndef SECOND_OPINION
    EXPECT_USER 17, 0, {mov eax, [SCRATCH + 1]}
    EXPECT_USER 17, 0, {mov [SCRATCH + 2], eax}
    EXPECT_USER 17, 0, {mov ax, [SCRATCH + 1]}
%endif
    EXPECT_USER NO_FAULT, 0, {mov ax, [SCRATCH + 2]}
    EXPECT_USER NO_FAULT, 0, {mov al, [SCRATCH + 1]}

    mov dword [user_flags], 2

    ; #NM and #MF live in fpu/; #DB in debug/
    PASS
