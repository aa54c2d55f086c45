; Interrupts: the shadows of STI and MOV SS, priorities in the local APIC, NMI blocking, HLT, TPR, INIT state of flags.
; models: Westmere, barcelona
; manual: SDM 3A 6.7, 6.8, 6.9, 11.8
%include "guest.inc"
%include "long.inc"

main:
    mov dword [LAPIC + 0xF0], 0x1FF
    ; STI: one instruction more
    call send_40
    mov dword [exc_vec], 0
    sti
    mov eax, [exc_vec]
.sti_after:
    cli
    EXPECT_EQ eax, 0
    EXPECT_EQ dword [exc_vec], 0x40
    EXPECT_EQ dword [exc_ip], .sti_after
    mov dword [LAPIC + 0xB0], 0
    ; STI; CLI: never
    call send_40
    mov dword [exc_vec], 0
    sti
    cli
    nop
    EXPECT_EQ dword [exc_vec], 0
    ; STI with IF already set has no shadow; POPF has none
    sti
    nop
    cli
    mov dword [LAPIC + 0xB0], 0
    call send_40
    mov dword [exc_vec], 0
    pushfd
    or dword [esp], 0x200
    popfd
.popf_after:
    cli
    EXPECT_EQ dword [exc_vec], 0x40
    EXPECT_EQ dword [exc_ip], .popf_after
    mov dword [LAPIC + 0xB0], 0
    ; MOV SS holds interrupts back for one instruction
    call send_40
    mov bx, ss
    mov dword [exc_vec], 0
    pushfd
    or dword [esp], 0x200
    sti
    mov ss, bx                          ; in the shadow of STI; begins its own
    mov eax, [exc_vec]
.ss_after:
    cli
    add esp, 4
    EXPECT_EQ eax, 0
    EXPECT_EQ dword [exc_vec], 0x40
    EXPECT_EQ dword [exc_ip], .ss_after
    mov dword [LAPIC + 0xB0], 0
    ; HLT wakes with the pointer behind it; STI; HLT does not lose it
    call send_40
    sti
    hlt
.hlt_after:
    cli
    EXPECT_EQ dword [exc_ip], .hlt_after
    mov dword [LAPIC + 0xB0], 0
    ; a later one by the timer
    mov dword [LAPIC + 0x3E0], 0xB
    mov dword [LAPIC + 0x320], 0x41
    mov dword [LAPIC + 0x380], 10000
    mov dword [exc_vec], 0
    sti
    hlt
    cli
    EXPECT_EQ dword [exc_vec], 0x41
    mov dword [LAPIC + 0xB0], 0
    ; priorities: 50H before 41H; in service blocks its class and below until EOI
    mov dword [LAPIC + 0x300], 0x40041
    mov dword [LAPIC + 0x300], 0x40050
    mov dword [exc_count], 0
    sti
    nop
    nop
    cli
    EXPECT_EQ dword [exc_vec], 0x50
    EXPECT_EQ dword [exc_count], 1
    mov dword [LAPIC + 0xB0], 0
    sti
    nop
    cli
    EXPECT_EQ dword [exc_vec], 0x41
    mov dword [LAPIC + 0xB0], 0
    ; TPR
    mov dword [LAPIC + 0x80], 0x50
    mov dword [LAPIC + 0x300], 0x40050
    mov dword [exc_vec], 0
    sti
    nop
    nop
    cli
    EXPECT_EQ dword [exc_vec], 0
    mov dword [LAPIC + 0x80], 0x40
    sti
    nop
    nop
    cli
    EXPECT_EQ dword [exc_vec], 0x50
    mov dword [LAPIC + 0xB0], 0
    mov dword [LAPIC + 0x80], 0
    ; NMI: taken with IF = 0; a second one waits for IRET
    mov dword [exc_count], 0
    mov dword [hook_ip], .nmi_hook
    mov dword [LAPIC + 0x310], 0
    mov dword [LAPIC + 0x300], 0x400
    nop
    nop
    EXPECT_EQ dword [exc_count], 2
    EXPECT_EQ dword [inside], 1         ; while the first handler ran
    mov dword [hook_ip], 0
    ; an interrupt gate clears IF, a trap gate does not
    mov byte [IDT32 + 0x30 * 8 + 5], 0x8F
    mov dword [hook_ip], .flags_hook
    sti
    nop
    int 0x30
    EXPECT_BITS [seen], 0x200, 0x200
    int 0x31
    EXPECT_BITS [seen], 0x200, 0
    cli
    mov dword [hook_ip], 0
    PASS
.nmi_hook:
    cmp dword [exc_count], 1
    jne .second
    mov dword [LAPIC + 0x300], 0x400
    nop
    nop
    mov ebx, [exc_count]
    mov [inside], ebx
.second:
    ret
.flags_hook:
    pushfd
    pop dword [seen]
    ret
send_40:
    mov dword [LAPIC + 0x300], 0x40040
    ret
inside: dd 0
seen: dd 0
