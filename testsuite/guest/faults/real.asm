; Exceptions and interrupts in real mode: the interrupt table, its limit, IRET, no error codes.
; models: Westmere, barcelona
; manual: SDM 3A 20.1.4, 20.1.5, 20.2; SDM 2 (real-address mode exceptions)
%include "guest.inc"
%include "long.inc"
%include "real.inc"

main:
    ENTER_REAL
    xor dx, dx
    xor cx, cx
    EXPECT_FAULT16 0, div cx
    EXPECT_TRAP16 3, int3
    EXPECT_TRAP16 0x30, int 0x30
    EXPECT_FAULT16 6, ud2
    ; protected-mode instructions
    EXPECT_FAULT16 6, {lldt ax}
    EXPECT_FAULT16 6, {ltr ax}
    EXPECT_FAULT16 6, {sldt ax}
    EXPECT_FAULT16 6, {str ax}
    EXPECT_FAULT16 6, {lar ax, bx}
    EXPECT_FAULT16 6, {lsl ax, bx}
    EXPECT_FAULT16 6, {verr ax}
    EXPECT_FAULT16 6, {arpl ax, bx}
    ; limits
    mov bx, 0xFFFF
    EXPECT_FAULT16 13, {mov ax, [bx]}
    mov bp, 0xFFFF
    EXPECT_FAULT16 12, {mov ax, [bp]}
    mov al, [bx]
    mov eax, cr0
    mov ax, 9
    EXPECT_FAULT16 5, {bound ax, [R(bound_pair)]}
    ; flags: IRET restores IF and IOPL; the interrupt clears IF and TF
    sti
    nop
    mov dword [R(catch_ip)], 0
    int 0x31
    pushf
    pop ax
    test ax, 0x200
    EXPECT_IF nz
    cli
    mov eax, [R(exc_flags)]
    test ax, 0x200
    EXPECT_IF nz
    EXPECT_EQ dword [R(exc_cs)], BASE / 16
    ; single-step
    mov dword [R(exc_count)], 0
    pushf
    or word [esp], 0x100
    popf
    nop                                 ; trap behind this one
    pushf
    and word [esp], ~0x100
    popf
    mov eax, [R(exc_count)]
    EXPECT_EQ ax, 4                     ; NOP, PUSHF, AND, POPF
    ; the interrupt table may move and shrink: LIDT works in real mode; beyond the limit #GP
    lidt [R(short_idt)]
    EXPECT_FAULT16 13, int 0x40
    lidt [R(idtr16)]
    ; far transfers
    push cs
    push word R(.far_back)
    retf
.far_back:
    call BASE / 16:R(.far_proc)
    EXPECT_EQ bx, 0x7777
    ; 32-bit operand and address size
    mov eax, 0x12345678
    push eax
    pop ebx
    EXPECT_EQ ebx, eax
    mov ecx, 0x10000
    EXPECT_FAULT16 13, {a32 mov al, [ecx]}
    LEAVE_REAL
    PASS
bits 16
.far_proc:
    mov bx, 0x7777
    retf
bound_pair: dw 1, 5
short_idt: dw 0x40 * 4 - 1
    dd 0
