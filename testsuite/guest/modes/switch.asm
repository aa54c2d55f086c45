; Ways between real, 32-bit protected, PAE, 64-bit and compatibility mode, and what guards them.
; models: Westmere, barcelona, core2duo, opteron-f
; manual: SDM 3A 9.8.5, 9.9, 4.1.2; SDM 3A 3.5.1 (hidden parts of segment registers)
%include "guest.inc"
%include "real.inc"
%include "long.inc"

main:
    ; Real mode entered from a 32-bit code segment keeps the segment's hidden part: D stays 1.
    cli
    mov eax, cr0
    and al, ~1
    mov cr0, eax
    mov ebx, 0x12345678                 ; five bytes only if D is still 1
    inc ebx
    or al, 1
    mov cr0, eax
    EXPECT_EQ ebx, 0x12345679
    mov ax, cs
    EXPECT_EQ ax, CODE32

    ENTER_REAL
    smsw ax
    test al, 1
    EXPECT_IF z
    ; The limits of the data segments stay 64 KiB: #GP beyond
    mov eax, 0x10000
    EXPECT_FAULT16 13, mov al, [eax]
    mov ebx, 0xFFFF
    EXPECT_FAULT16 13, mov ax, [ebx]
    EXPECT_FAULT16 12, mov ax, [ss:ebx]
    ; Big real mode: a limit loaded in protected mode outlives the way back
    mov eax, cr0
    or al, 1
    mov cr0, eax
    mov bx, DATA32
    mov fs, bx
    and al, ~1
    mov cr0, eax
    mov ebx, FREE
    mov dword [fs:ebx], 0x600D600D
    EXPECT_EQ dword [fs:ebx], 0x600D600D
    xor ax, ax
    mov fs, ax                          ; base changes, limit stays
    EXPECT_EQ dword [fs:ebx], 0x600D600D
    ; Between CR0.PE = 1 and the far jump the old CS goes on, with CPL 0
    mov eax, cr0
    or al, 1
    mov cr0, eax
    push cs
    pop bx
    cmp bx, BASE / 16
    EXPECT_IF e
    mov ecx, 0x10
    rdmsr                               ; allowed: CPL is 0
    and eax, 0
    mov eax, cr0
    and al, ~1
    mov cr0, eax
    LEAVE_REAL

    ; PG without PAE but with LME
    RDMSR32 0xC0000080
    or eax, 1 << 8
    wrmsr
    mov eax, cr0
    or eax, 1 << 31
    EXPECT_FAULT 13, 0, mov cr0, eax
    RDMSR32 0xC0000080
    test eax, 1 << 10
    EXPECT_IF z
    and eax, ~(1 << 8)
    wrmsr

    ; PAE paging
    call build_long
    mov dword [TABLES + 0x8000], PD0 | 1
    mov dword [TABLES + 0x8018], PD3 | 1
    mov eax, cr4
    or eax, 1 << 5
    mov cr4, eax
    mov eax, TABLES + 0x8000
    mov cr3, eax
    mov eax, cr0
    or eax, 1 << 31
    mov cr0, eax
    mov dword [FREE], 77
    EXPECT_EQ dword [FREE], 77
    RDMSR32 0xC0000080                  ; LME cannot change while PG is set
    or eax, 1 << 8
    EXPECT_FAULT 13, 0, wrmsr
    ; A reserved bit in a PDPTE makes the load of CR3 fail
    mov dword [TABLES + 0x9000], PD0 | 1 | 1 << 1
    mov eax, TABLES + 0x9000
    EXPECT_FAULT 13, 0, mov cr3, eax
    mov eax, cr3
    EXPECT_EQ eax, TABLES + 0x8000
    ; PDPTEs are registers: a change in memory has no effect before CR3 is loaded
    mov dword [TABLES + 0x8000], 0
    invlpg [FREE]
    EXPECT_EQ dword [FREE], 77
    mov eax, cr0
    and eax, ~(1 << 31)
    mov cr0, eax
    mov eax, cr4
    and eax, ~(1 << 5)
    mov cr4, eax

    ENTER_LONG
    mov rax, 0x123456789ABCDEF0
    mov rbx, rax
    shr rbx, 32
    EXPECT_EQ ebx, 0x12345678
    mov ecx, 0xC0000080
    rdmsr
    and eax, 0x500
    EXPECT_EQ eax, 0x500
    mov rax, cr0
    and eax, ~(1 << 31)
    EXPECT_FAULT 13, 0, mov cr0, rax    ; PG off in 64-bit mode
    mov rax, cr4
    and eax, ~(1 << 5)
    EXPECT_FAULT 13, 0, mov cr4, rax    ; PAE off in IA-32e mode
    mov rax, 1 << 32
%ifndef SECOND_OPINION
    EXPECT_FAULT 13, 0, mov cr0, rax    ; upper half of CR0
%endif
    mov ecx, 0xC0000080
    rdmsr
    and eax, ~(1 << 8)
    EXPECT_FAULT 13, 0, wrmsr           ; LME with PG set

    ; Compatibility mode and back
    push CODE32
    push .compat
    o64 retf
bits 32
.compat:
    mov eax, 5
    db 0x40                             ; INC EAX here, a REX prefix in 64-bit mode
    nop
    EXPECT_EQ eax, 6
    mov ax, cs
    EXPECT_EQ ax, CODE32
    mov eax, 0xFFFFFFFF
    push dword 0x11223344
    EXPECT_EQ dword [esp], 0x11223344
    pop eax
    ; L and D both set: #GP(selector)
    SET_DESC FREESEL, 0x00EF9B00, 0x0000FFFF
    mov dword [FREE], 0
    mov word [FREE + 4], FREESEL
    CATCH .caught                       ; the handler, and so what follows, is 64-bit code
    jmp far [FREE]
bits 64
.caught:
    EXPECT_EXC 13, FREESEL, 0
    EXPECT_EQ dword [exc_cs], CODE32
    mov eax, 5
    db 0x40
    nop
    EXPECT_EQ eax, 5
    ; A 32-bit result clears the upper half, a 16-bit one keeps it
    mov rax, -1
    mov eax, 1
    mov rbx, 1
    cmp rax, rbx
    EXPECT_IF e
    mov rax, -1
    mov ax, 1
    shr rax, 32
    EXPECT_EQ eax, 0xFFFFFFFF
    LEAVE_LONG
    RDMSR32 0xC0000080
    test eax, 1 << 10
    EXPECT_IF z

    PASS
