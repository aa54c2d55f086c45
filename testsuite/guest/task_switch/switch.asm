; Task switches by JMP, CALL, IRET and task gates; 32- and 16-bit TSSs; busy bits, NT, links; #TS cases; T bit.
; models: Westmere, barcelona
; manual: SDM 3A 7.2-7.5
%include "guest.inc"
%include "long.inc"

%define TSS_B  (FREE)                   ; the other 32-bit task
%define TSS_C  (FREE + 0x100)           ; a 16-bit one
%define SEL_B  FREESEL
%define SEL_C  (FREESEL + 8)
%define GATE_B (FREESEL + 16)           ; task gate to B
%define STACKB 0x2A000

%macro TYPE_IS 2                        ; selector, type byte
    cmp byte [gdt + %1 + 5], %2
%endmacro

main:
    SET_DESC SEL_B, 0x00008930, 0x00000067
    mov byte [gdt + SEL_B + 4], (TSS_B >> 16) & 0xFF
    mov word [gdt + SEL_B + 2], TSS_B & 0xFFFF
    SET_DESC SEL_C, 0x00008130, 0x0000002B
    mov word [gdt + SEL_C + 2], TSS_C & 0xFFFF
    SET_DESC GATE_B, 0x00008500, SEL_B << 16
    call init_b

    ; --- JMP: the old task is no longer busy, the new one is; no link, no NT
    mov ebx, 0xB0B0B0B0
    mov dword [exc_count], 0
    jmp SEL_B:0
.jmp_back:                              ; back by JMP from B
    EXPECT_EQ ebx, 0xB0B0B0B0           ; registers came back from our TSS
    EXPECT_EQ dword [seen_flags], 2     ; B ran with its flags, NT clear
    EXPECT_EQ dword [seen_tr], SEL_B
    TYPE_IS TSSSEL, 0x8B
    EXPECT_IF e
    TYPE_IS SEL_B, 0x89
    EXPECT_IF e
    mov eax, cr0
    test eax, 8                         ; TS is set by every task switch
    EXPECT_IF nz
    clts

    ; --- CALL and IRET: link, NT, both busy
    call init_b
    mov dword [TSS_B + 32], b_called
    call SEL_B:0
    EXPECT_EQ word [TSS_B], TSSSEL      ; the link
    EXPECT_BITS [seen_flags], 0x4000, 0x4000
    EXPECT_EQ dword [seen_types], 0x8B8B
    TYPE_IS SEL_B, 0x89
    EXPECT_IF e
    pushfd
    pop eax
    test eax, 0x4000
    EXPECT_IF z
    EXPECT_BITS [TSS_B + 36], 0x4000, 0 ; NT cleared in the image of the task that IRET left
    clts
    ; the state of B was saved where it ended: EIP behind the IRET
    EXPECT_EQ dword [TSS_B + 32], b_after_iret

    ; --- through a task gate in the GDT, and in the IDT with an error code
    call init_b
    mov dword [TSS_B + 32], b_called
    call GATE_B:0
    clts
    call init_b
    mov dword [TSS_B + 32], b_fault
    mov dword [IDT32 + 13 * 8], SEL_B << 16
    mov dword [IDT32 + 13 * 8 + 4], 0x8500
    mov eax, 0x200
.gp_at:
    mov fs, ax                          ; #GP(200H) into task B, which repairs AX and returns
    EXPECT_EQ dword [seen_error], 0x200
    EXPECT_EQ dword [seen_eip], .gp_at  ; in our TSS while B ran
    clts
    call build_idt32

    ; --- 16-bit task
    mov edi, TSS_C
    xor eax, eax
    mov ecx, 0x2C / 4
    rep stosd
    mov word [TSS_C + 14], c_entry - $$ ; IP
    mov word [TSS_C + 16], 2            ; flags
    mov word [TSS_C + 26], 0x8000       ; SP
    mov word [TSS_C + 36], CODE16
    mov word [TSS_C + 38], DATA16
    mov word [TSS_C + 34], DATA16
    mov word [TSS_C + 40], DATA16
    mov esi, 0x12345678
    call SEL_C:0
    EXPECT_EQ esi, 0x12345678
    EXPECT_EQ word [seen_c], 0x600D
    clts

    ; --- faults before the switch: in the old task's context
    mov byte [gdt + SEL_B + 5], 0x09    ; not present
    EXPECT_FAULT 11, SEL_B, {jmp SEL_B:0}
    mov byte [gdt + SEL_B + 5], 0x8B    ; busy
    EXPECT_FAULT 13, SEL_B, {jmp SEL_B:0}
    EXPECT_FAULT 13, SEL_B, {call SEL_B:0}
    mov byte [gdt + SEL_B + 5], 0x89
    mov word [gdt + SEL_B], 0x66        ; limit too small
    EXPECT_FAULT 10, SEL_B, {jmp SEL_B:0}
    mov word [gdt + SEL_B], 0x67
    EXPECT_USER 13, SEL_B, {jmp SEL_B:0} ; DPL 0
    ; IRET with NT and a bad link
    mov word [TSS32], 0
    CATCH .bad_link
    pushfd
    or dword [esp], 0x4000
    popfd
.iret_at:
    iretd
.bad_link:
    EXPECT_EXC 10, 0, .iret_at

    ; --- faults after the switch: in the new task's context; B is a ring 3 task, so that they have a stack
    call init_b
    mov word [TSS_B + 76], CODE32U
    mov word [TSS_B + 80], CODE32U      ; SS = code: #TS(selector), pushed EIP is B's first
    mov dword [catch_ip], .after
    mov dword [catch_sp], STACK0
    jmp SEL_B:0
.after:
    EXPECT_EXC 10, CODE32U & ~3, b_entry
    str ax
    EXPECT_EQ ax, SEL_B
    call back_to_main_tss
    call init_b
    mov word [TSS_B + 76], DATA32U      ; CS = data
    mov dword [catch_ip], .after2
    mov dword [catch_sp], STACK0
    jmp SEL_B:0
.after2:
    EXPECT_EXC 10, DATA32U & ~3, b_entry
    call back_to_main_tss
    call init_b
    mov word [TSS_B + 76], CODE32U
    mov word [TSS_B + 80], DATA32U
    mov word [TSS_B + 96], SEL_B        ; LDT selector names a TSS
    mov dword [catch_ip], .after3
    mov dword [catch_sp], STACK0
    jmp SEL_B:0
.after3:
    EXPECT_EXC 10, SEL_B, b_entry
    call back_to_main_tss

    ; --- T bit: #DB with BT in the new task, before its first instruction
    call init_b
    mov word [TSS_B + 100], 1
    mov dword [catch_ip], .t_bit
    mov dword [catch_sp], STACK0
    jmp SEL_B:0
.t_bit:
    EXPECT_EXC 1, 0, b_entry
    EXPECT_BITS [exc_dr6], 1 << 15, 1 << 15
    PASS

; A fresh TSS for B: entry b_entry, flat segments, its own stack, our CR3.
init_b:
    mov edi, TSS_B
    mov ecx, 104 / 4
    xor eax, eax
    rep stosd
    mov dword [TSS_B + 4], STACKB
    mov dword [TSS_B + 8], DATA32
    mov dword [TSS_B + 32], b_entry
    mov dword [TSS_B + 36], 2
    mov dword [TSS_B + 56], STACKB
    mov dword [TSS_B + 72], DATA32
    mov dword [TSS_B + 76], CODE32
    mov dword [TSS_B + 80], DATA32
    mov dword [TSS_B + 84], DATA32
    mov dword [TSS_B + 88], DATA32
    mov dword [TSS_B + 92], DATA32
    mov word [TSS_B + 102], 0x68
    mov byte [gdt + SEL_B + 5], 0x89
    ret
back_to_main_tss:
    clts
    and byte [gdt + TSSSEL + 5], ~2
    mov ax, TSSSEL
    ltr ax
    xor eax, eax
    lldt ax
    ret

b_entry:
    mov ebx, 0xBAD
    pushfd
    pop dword [seen_flags]
    xor eax, eax
    str ax
    mov [seen_tr], eax
    jmp TSSSEL:0
b_called:
    pushfd
    pop dword [seen_flags]
    mov al, [gdt + TSSSEL + 5]
    mov ah, [gdt + SEL_B + 5]
    mov [seen_types], ax
    iretd
b_after_iret:
    ud2
b_fault:
    pop dword [seen_error]
    mov eax, [TSS32 + 32]
    mov [seen_eip], eax
    mov dword [TSS32 + 40], 0           ; EAX of the old task: a null selector
    iretd
    ud2
bits 16
c_entry:
    mov word [seen_c - $$], 0x600D
    iret
bits 32
align 4
seen_flags: dd 0
seen_tr: dd 0
seen_types: dd 0
seen_error: dd 0
seen_eip: dd 0
seen_c: dd 0
