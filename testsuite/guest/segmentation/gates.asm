; Call gates: stack switch with parameters, privilege rules, 16-bit gates; far returns to outer rings.
; models: Westmere, barcelona
; manual: SDM 3A 5.8; SDM 2 CALL, RET
%include "guest.inc"
%include "long.inc"

%define GATE (FREESEL)                  ; 32-bit, to CODE32, DPL 3, two parameters
%define GATE16 (FREESEL + 8)
%define CODE1 (FREESEL + 16)            ; ring 1 code
%define DATA1 (FREESEL + 24)

%macro SET_GATE 5                       ; selector, code selector, offset, type and DPL byte, parameters
    mov eax, %3
    mov [gdt + %1], ax
    mov word [gdt + %1 + 2], %2
    mov word [gdt + %1 + 4], (%4) << 8 | (%5)
    shr eax, 16
    mov [gdt + %1 + 6], ax
%endmacro

main:
    SET_DESC CODE1, 0x00CFBB00, 0x0000FFFF
    SET_DESC DATA1, 0x00CFB300, 0x0000FFFF
    mov word [TSS32 + 16], DATA1 | 1
    SET_GATE GATE, CODE32, gate_code, 0xEC, 2
    mov dword [TSS32 + 4], STACK0B

    ; From ring 0 through the gate: no stack switch, no parameters
    mov esi, esp
    call GATE:0x12345678                ; the offset is ignored
.after0:
    EXPECT_EQ ebx, .after0
    EXPECT_EQ esp, esi
    ; From ring 3: SS:ESP of the TSS, two dwords copied
    CATCH .done3
    go_user_ .user
.user:
    push dword 0x1111
    push dword 0x2222
    call (GATE | 3):0
.back:
    int NO_FAULT                        ; RET 8 has released the parameters on both stacks
.done3:
    EXPECT_EXC NO_FAULT, 0, 0
    EXPECT_EQ dword [exc_sp], STACK3
    EXPECT_EQ dword [exc_cs], CODE32U
    EXPECT_EQ dword [exc_ss], DATA32U
    EXPECT_EQ dword [saved + 0], STACK0B - 24 ; ESP in the gate
    EXPECT_EQ dword [saved + 4], .back
    EXPECT_EQ dword [saved + 8], CODE32U
    EXPECT_EQ dword [saved + 12], 0x2222
    EXPECT_EQ dword [saved + 16], 0x1111
    EXPECT_EQ dword [saved + 20], STACK3 - 8
    EXPECT_EQ dword [saved + 24], DATA32U

    ; Privilege of the gate itself
    mov byte [gdt + GATE + 5], 0x8C     ; DPL 0
    EXPECT_USER 13, GATE, {call (GATE | 3):0}
    mov byte [gdt + GATE + 5], 0xEC
    ; JMP through a gate may not change the level
    EXPECT_USER 13, CODE32, {jmp (GATE | 3):0}
    ; not present
    mov byte [gdt + GATE + 5], 0x6C
    EXPECT_USER 11, GATE, {call (GATE | 3):0}
    mov byte [gdt + GATE + 5], 0xEC
    ; target: null, data, not present
    mov word [gdt + GATE + 2], 0
    EXPECT_USER 13, 0, {call (GATE | 3):0}
    mov word [gdt + GATE + 2], DATA32
    EXPECT_USER 13, DATA32, {call (GATE | 3):0}
    mov word [gdt + GATE + 2], CODE32
    ; the stack of the TSS: the handlers run on ring 1's stack's neighbour, so ring 1 is the victim
    SET_GATE GATE, CODE1, gate_code, 0xEC, 0
    mov word [TSS32 + 16], 0
    EXPECT_USER 10, 0, {call (GATE | 3):0}
    mov word [TSS32 + 16], DATA32U
    EXPECT_USER 10, DATA32U & ~3, {call (GATE | 3):0}
    mov word [TSS32 + 16], CODE1 | 1
    EXPECT_USER 10, CODE1, {call (GATE | 3):0}
    mov word [TSS32 + 16], 0x2F1
    EXPECT_USER 10, 0x2F0, {call (GATE | 3):0}
    and byte [gdt + DATA1 + 5], 0x7F    ; stack segment not present: #SS
    mov word [TSS32 + 16], DATA1 | 1
    EXPECT_USER 12, DATA1, {call (GATE | 3):0}
    or byte [gdt + DATA1 + 5], 0x80

    ; Into ring 1 and back: CPL 1 seen by CS, HLT there is #GP
    SET_GATE GATE, CODE1, ring1, 0xEC, 0
    EXPECT_USER NO_FAULT, 0, {call (GATE | 3):0}
    EXPECT_EQ dword [saved], CODE1 | 1
    EXPECT_EQ dword [saved + 4], DATA1 | 1
    EXPECT_EQ dword [saved + 8], STACK1 - 16

    ; 16-bit gate: 16-bit pushes
    SET_GATE GATE16, CODE16, gate16 - $$, 0xE4, 0
    CATCH .done16
    go_user_ .user16
.user16:
    call (GATE16 | 3):0
.done16:
    EXPECT_EXC 6, 0, gate16 - BASE
    EXPECT_EQ dword [exc_sp], STACK0B - 8 ; the handler runs on the same stack below

    ; RETF to an outer level checks the new SS
    push dword DATA32                   ; DPL 0 for ring 3
    push dword STACK3
    push dword CODE32U
    push dword 0
    EXPECT_FAULT 13, DATA32, retf
    add esp, 16
    push dword 0                        ; null SS
    push dword STACK3
    push dword CODE32U
    push dword 0
    EXPECT_FAULT 13, 0, retf
    add esp, 16
    push dword CODE32                   ; RPL < CPL cannot be tested at CPL 0: data as code instead
    push dword 0
    mov dword [esp + 4], DATA32
    EXPECT_FAULT 13, DATA32, retf
    add esp, 8
    PASS

ring1:
    mov ax, cs
    mov [saved], eax
    mov ax, ss
    mov [saved + 4], eax
    mov [saved + 8], esp
    and dword [saved], 0xFFFF
    and dword [saved + 4], 0xFFFF
    retf
gate16:
    ud2
gate_code:
    mov ebx, [esp]
    mov [saved], esp
    mov ecx, 6
    xor edx, edx
.copy:
    mov eax, [esp + edx]
    mov [saved + 4 + edx], eax
    add edx, 4
    loop .copy
    mov ax, cs
    cmp dword [esp + 4], CODE32U
    jne .same
    retf 8
.same:
    retf
align 4
saved: times 8 dd 0
