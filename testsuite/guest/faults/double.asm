; Which pairs of exceptions make a double fault; priorities among faults of one instruction.
; models: Westmere, barcelona
; manual: SDM 3A 6.15 (table 6-5), 6.9 (table 6-2)
%include "guest.inc"
%include "long.inc"

%macro BREAK_GATE 1
    mov byte [IDT32 + %1 * 8 + 5], 0x0E ; not present: #NP(gate) in its delivery
%endmacro
%macro MEND_GATE 1
    mov byte [IDT32 + %1 * 8 + 5], 0x8E
%endmacro

main:
    ; benign then contributory: one after the other. EXT = 1 in the error code of a fault's delivery
    BREAK_GATE 6
    CATCH .ud_np
.ud:
    ud2
    FAIL
.ud_np:
    EXPECT_EXC 11, 6 * 8 + 2 + 1, .ud
    MEND_GATE 6
    BREAK_GATE 3                        ; INT3: software, EXT = 0
    CATCH .bp_np
    int3
    FAIL
.bp_np:
    EXPECT_EXC 11, 3 * 8 + 2, 0
    mov byte [IDT32 + 3 * 8 + 5], 0xEE
    ; contributory then contributory: #DF(0)
    BREAK_GATE 13
    mov eax, 0x200
    CATCH .gp_np
    mov ds, ax
    FAIL
.gp_np:
    EXPECT_EXC 8, 0, 0
    MEND_GATE 13
    BREAK_GATE 0
    xor ecx, ecx
    CATCH .de_np
    div ecx
    FAIL
.de_np:
    EXPECT_EXC 8, 0, 0
    MEND_GATE 0

    ; page fault then contributory: #DF; then #PF too. Paging on
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
    BREAK_GATE 14
    CATCH .pf_np
    mov eax, [0x7FFFF000]
    FAIL
.pf_np:
    EXPECT_EXC 8, 0, 0
    EXPECT_EQ dword [exc_cr2], 0x7FFFF000
    MEND_GATE 14
    ; contributory then page fault: the page fault is delivered (a gate in an unmapped IDT page)
    mov dword [idt_split + 2], 0x40000000 - 13 * 8 ; vectors below 13 mapped, 13 and above not
    mov esi, IDT32
    mov edi, 0x40000000 - 13 * 8
    mov ebx, [PD0 + 0x1FF * 8]
    mov dword [PD0 + 0x1FF * 8], 0x87   ; 3FE00000H -> 0
    mov eax, cr3
    mov cr3, eax
    and edi, 0x1FFFFF                   ; the copy lies in the first 2 MiB
    mov ecx, 13 * 2
    rep movsd
    lidt [idt_split]
    CATCH .gp_pf
    mov eax, 0x200
    mov fs, ax
    FAIL
.gp_pf:
    ; 14 itself is not mapped either: #PF in #PF delivery gives #DF
    EXPECT_EXC 8, 0, 0
    lidt [idtr32]

    ; priorities: #UD before #GP of privilege, limit before page, #NM before a memory operand's #PF
    EXPECT_USER 6, 0, {db 0xF0, 0xF4}   ; LOCK HLT at CPL 3
    mov eax, cr0
    or eax, 8
    mov cr0, eax
    EXPECT_FAULT 7, 0, {fld dword [0x7FFFF000]}
    clts
    fninit
    EXPECT_FAULT 14, 0, {fld dword [0x7FFFF000]}
    SET_DESC FREESEL, 0x00409200, 0x00000FFF
    mov eax, FREESEL
    mov fs, ax
    EXPECT_FAULT 13, 0, {mov eax, [fs:0x7FFFF000]}
    PASS
align 8
    dw 0
idt_split: dw 128 * 8 - 1
    dd 0
