; System-management mode: entry by an SMI through the local APIC, the saved state, RSM, SMBASE, blocking.
; models: Westmere, barcelona
; manual: SDM 3C 34.3-34.11
%include "guest.inc"
%include "long.inc"
%include "real.inc"

%define SMBASE 0x30000
%define STATE(x) (SMBASE + (x))

main:
    EXPECT_FAULT 6, 0, rsm              ; outside SMM
    mov dword [LAPIC + 0xF0], 0x1FF
    mov esi, handler
    mov edi, SMBASE + 0x8000
    mov ecx, handler_end - handler
    rep movsb
    mov eax, 0x11112222
    mov ebx, 0x33334444
    mov ecx, 0x55556666
    mov ebp, 0x77778888
    mov dword [LAPIC + 0x310], 0
    mov dword [LAPIC + 0x300], 0x200    ; SMI to processor 0
    nop
    nop
.after:
    ; the state came back
    EXPECT_EQ eax, 0x11112222
    EXPECT_EQ ebx, 0x33334444
    EXPECT_EQ ecx, 0x55556666
    EXPECT_EQ ebp, 0x77778888
    mov ax, cs
    EXPECT_EQ ax, CODE32
    mov eax, cr0
    test al, 1
    EXPECT_IF nz
    ; what the handler saw: real-mode-like, CS = 3000H with base SMBASE, limits 4 GiB, CR0.PE clear
    EXPECT_EQ dword [0x5000], 1         ; entries
    EXPECT_BITS [0x5004], 1 | 1 << 31, 0 ; CR0
    EXPECT_EQ word [0x5008], SMBASE >> 4
    EXPECT_BITS [0x500C], 0x200 | 0x100, 0 ; flags
    EXPECT_EQ dword [0x5010], 0x600D    ; a 4 GiB access went through
    ; SMI is held back while in SMM: the handler sends itself one, and it comes after RSM
    mov dword [0x5014], 1               ; the handler: send one
    mov dword [LAPIC + 0x300], 0x200
    nop
    nop
    nop
    EXPECT_EQ dword [0x5000], 3
    EXPECT_EQ dword [0x5018], 2         ; seen at the end of the second entry: still the second
    PASS

bits 16
handler:
    mov ax, cs
    mov [cs:0x9000], ax
    xor bx, bx
    mov ds, bx
    inc dword [0x5000]
    mov [0x5008], ax
    mov eax, cr0
    mov [0x5004], eax
    mov ss, bx
    mov sp, 0x6000
    pushfd
    pop eax
    mov [0x500C], eax
    mov ebx, FREE
    mov dword [ebx], 0x600D
    mov eax, [ebx]
    mov [0x5010], eax
    cmp dword [0x5014], 1
    jne .out
    mov dword [0x5014], 0
    mov ebx, LAPIC
    mov dword [ebx + 0x300], 0x200
    nop
    nop
    mov eax, [0x5000]
    mov [0x5018], eax
.out:
    rsm
handler_end:
bits 32
