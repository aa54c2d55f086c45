; Virtual-8086 mode: entry and exit, IOPL-sensitive instructions, I/O bitmap, VME with interrupt redirection and VIF.
; models: Westmere, barcelona
; manual: SDM 3A 20.2, 20.3, 20.4 (table 20-2), 20.5
%include "guest.inc"
%include "long.inc"

%define VM   (1 << 17)
%define VIF  (1 << 19)
%define VIP  (1 << 20)
%define IOPL3 0x3000
%define R(x) ((x) - $$)
%define SP86 0x7000

; EXPECT_V86 flags, vector, error, 16-bit instruction: runs it in virtual-8086 mode with EFLAGS = flags | VM.
; CS = DS = ES = BASE/16, SS = 2000H. Behind it stands a HLT, which is #GP(0) in this mode: how V86_OK ends.
%macro go_v86_ 2                        ; flags, label
    push dword 0x4321                   ; GS
    push dword 0x8765                   ; FS
    push dword BASE / 16                ; DS
    push dword BASE / 16                ; ES
    push dword 0x2000                   ; SS
    push dword SP86
    push dword (%1) | VM | 2
    push dword BASE / 16
    push dword R(%2)
    iretd
%endmacro
%macro expect_v86_ 5+
    CATCH %%caught
    go_v86_ %2, %%at
bits 16
%%at:
    %5
%%end:
    hlt
bits 32
%%caught:
    expect_eq_plain_ %1, dword [exc_vec], %3
    expect_eq_plain_ %1, dword [exc_err], %4
    expect_eq_plain_ %1, dword [exc_ip], R(%%at)
    expect_bits_ %1, [exc_flags], VM, VM
    expect_eq_plain_ %1, dword [exc_cs], BASE / 16
%endmacro
%define EXPECT_V86 expect_v86_ __?LINE?__,
; V86_OK flags, instructions: they run through to the HLT.
%macro v86_ok_ 3+
    CATCH %%caught
    go_v86_ %2, %%at
bits 16
%%at:
    %3
%%end:
    hlt
bits 32
%%caught:
    expect_eq_plain_ %1, dword [exc_vec], 13
    expect_eq_plain_ %1, dword [exc_ip], R(%%end)
%endmacro
%define V86_OK v86_ok_ __?LINE?__,

main:
    ; --- entry and exit: the nine-dword frame, segments null in the handler and pushed for it
    CATCH .first
    go_v86_ 0, .v86_code
bits 16
.v86_code:
    mov ax, cs
    mov bx, ds
    mov cx, ss
    mov dx, fs
    mov word [R(word0)], 0x1357         ; DS base = 10000H
    push ax
    ud2
bits 32
.first:
    EXPECT_EQ dword [exc_vec], 6
    EXPECT_EQ ax, BASE / 16
    EXPECT_EQ bx, BASE / 16
    EXPECT_EQ cx, 0x2000
    EXPECT_EQ dx, 0x8765
    EXPECT_EQ word [word0], 0x1357
    EXPECT_EQ dword [exc_sp], SP86 - 2
    EXPECT_EQ dword [exc_ss], 0x2000
    EXPECT_EQ dword [exc_gs], 0x4321
    EXPECT_EQ dword [exc_fs], 0x8765
    EXPECT_EQ dword [exc_ds], BASE / 16
    EXPECT_EQ word [0x20000 + SP86 - 2], BASE / 16
    EXPECT_EQ dword [exc_frame], STACK0B - 36
    mov ax, fs
    EXPECT_EQ ax, 0

    ; --- segment limits are 64 KiB; CPL is 3
    EXPECT_V86 0, 13, 0, {a32 mov al, [dword 0x10000]}
    EXPECT_V86 0, 12, 0, {a32 mov al, [ss:dword 0x10000]}
    EXPECT_V86 0, 13, 0, {mov eax, cr0}
    EXPECT_V86 0, 13, 0, {hlt}
    EXPECT_V86 0, 13, 0, {o32 lgdt [0]}
    EXPECT_V86 0, 6, 0, {lldt ax}
    EXPECT_V86 0, 6, 0, {sldt ax}
    EXPECT_V86 0, 6, 0, {arpl ax, bx}
    EXPECT_V86 0, 6, 0, {lar ax, bx}
    V86_OK 0, {smsw ax}
    EXPECT_V86 0, 0, 0, {aam 0}

    ; --- IOPL < 3: CLI, STI, PUSHF, POPF, INT n, IRET are #GP(0)
    EXPECT_V86 0, 13, 0, cli
    EXPECT_V86 0, 13, 0, sti
    EXPECT_V86 0, 13, 0, pushf
    EXPECT_V86 0, 13, 0, popf
    EXPECT_V86 0, 13, 0, iret
    EXPECT_V86 0, 13, 0, int 0x21
    V86_OK IOPL3, cli
    V86_OK IOPL3, pushf
    ; INT3 is not sensitive to IOPL; its gate's DPL counts
    CATCH .int3
    go_v86_ 0, .int3_code
bits 16
.int3_code:
    db 0xCC
.int3_after:
    hlt
bits 32
.int3:
    EXPECT_EXC 3, 0, R(.int3_after)
    ; IOPL = 3: INT n goes through the gate, DPL 3 wanted
    mov byte [IDT32 + 0x21 * 8 + 5], 0xEE
    CATCH .int21
    go_v86_ IOPL3, .int21_code
bits 16
.int21_code:
    int 0x21
.int21_after:
    hlt
bits 32
.int21:
    EXPECT_EXC 0x21, 0, R(.int21_after)
    mov byte [IDT32 + 0x21 * 8 + 5], 0x8E
    EXPECT_V86 IOPL3, 13, 0x21 * 8 + 2, {int 0x21}

    ; --- I/O permission bitmap, whatever the IOPL
    mov word [TSS32 + 102], 0x88        ; the map, behind 32 bytes for interrupts
    mov edi, TSS32 + 0x68
    mov ecx, (0x2068 - 0x68) / 4
    xor eax, eax
    rep stosd
    mov byte [TSS32 + 0x88 + 0x2000 - 0x20], 0xFF
    mov byte [TSS32 + 0x88 + 0x80 / 8], 2 ; port 81H is closed
    V86_OK 0, {in al, 0x80}
    EXPECT_V86 IOPL3, 13, 0, {in al, 0x81}
    EXPECT_V86 0, 13, 0, {in ax, 0x80}
    V86_OK 0, {in ax, 0x82}
    ; the limit of the TSS ends the map
    mov word [gdt + TSSSEL], 0x88 + 0x12
    call reload_tr
    mov dx, 0x8F
    V86_OK 0, {in al, 0x88}
    EXPECT_V86 0, 13, 0, {in al, 0xA0}
    mov word [gdt + TSSSEL], 0x2067
    call reload_tr

    ; --- CR4.VME
    mov eax, cr4
    or eax, 1
    mov cr4, eax
    ; redirection bit clear: INT n goes to the task's own table at 0:0, even with IOPL 0; IF is VIF's copy
    mov word [0x21 * 4], R(.vme_handler)
    mov word [0x21 * 4 + 2], BASE / 16
    CATCH .vme
    go_v86_ 0, .vme_code
bits 16
.vme_code:
    int 0x21
.vme_after:
    hlt
.vme_handler:
    hlt                                 ; #GP(0): look at the stack
bits 32
.vme:
    EXPECT_EXC 13, 0, R(.vme_handler)
    EXPECT_EQ dword [exc_sp], SP86 - 6
    EXPECT_EQ word [0x20000 + SP86 - 6], R(.vme_after)
    EXPECT_EQ word [0x20000 + SP86 - 4], BASE / 16
    mov ax, [0x20000 + SP86 - 2]
    and ax, 0x3200
    EXPECT_EQ ax, 0x3000                ; IOPL reads as 3, IF = VIF = 0
    ; bit set: as without VME
    mov byte [TSS32 + 0x68 + 0x21 / 8], 1 << 1
    EXPECT_V86 0, 13, 0, {int 0x21}
    mov byte [TSS32 + 0x68 + 0x21 / 8], 0
    ; IOPL = 0: STI and CLI change VIF, PUSHF shows it in IF with IOPL 3, POPF writes it
    V86_OK 0, sti
    EXPECT_BITS [exc_flags], VIF | 0x200, VIF
    V86_OK VIF, cli
    EXPECT_BITS [exc_flags], VIF, 0
    CATCH .pushf
    go_v86_ VIF, .pushf_code
bits 16
.pushf_code:
    pushf
    pop ax
    hlt
bits 32
.pushf:
    and eax, 0x3200
    EXPECT_EQ eax, 0x3200
    CATCH .popf
    go_v86_ 0, .popf_code
bits 16
.popf_code:
    push word 0x202
    popf
    hlt
bits 32
.popf:
    EXPECT_BITS [exc_flags], VIF | 0x200, VIF
    EXPECT_BITS [exc_flags], 0x3000, 0
    ; VIP: STI with a pending virtual interrupt is #GP(0)
    EXPECT_V86 VIP, 13, 0, sti
    CATCH .popf_vip
    go_v86_ VIP, .popf_vip_code
bits 16
.popf_vip_code:
    push word 0x202
.popf_vip_at:
    popf
    hlt
bits 32
.popf_vip:
    EXPECT_EXC 13, 0, R(.popf_vip_at)
    ; 32-bit PUSHFD with IOPL < 3 stays #GP(0)
    EXPECT_V86 0, 13, 0, {pushfd}

    ; --- CR4.PVI: CLI and STI at CPL 3, IOPL 0 in protected mode change VIF
    mov eax, cr4
    and eax, ~1
    or eax, 2
    mov cr4, eax
    EXPECT_USER NO_FAULT, 0, sti
    EXPECT_BITS [exc_flags], VIF | 0x200, VIF
    mov dword [user_flags], VIF | 2
    EXPECT_USER NO_FAULT, 0, cli
    EXPECT_BITS [exc_flags], VIF, 0
    mov dword [user_flags], VIP | 2
    EXPECT_USER 13, 0, sti
    PASS

reload_tr:
    and byte [gdt + TSSSEL + 5], ~2
    mov eax, TSSSEL
    ltr ax
    ret
word0: dw 0
