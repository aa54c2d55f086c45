; Debug exceptions: TF, RF, breakpoints on execution, data and ports, general detect, ICEBP, MOV SS shadow.
; models: Westmere, barcelona
; manual: SDM 3B 17.2, 17.3; SDM 3A 6.8.3
%include "guest.inc"
%include "long.inc"

%define BS (1 << 14)
%define BD (1 << 13)
%macro DR7 1
    mov eax, (%1) | 0x400
    mov dr7, eax
%endmacro
%macro CLEAR6 0
    xor eax, eax
    mov dr6, eax
%endmacro
; EXPECT_DB bits, ip: the caught exception was #DB with these DR6 bits and this pushed pointer.
%macro expect_db_ 3
    expect_eq_plain_ %1, dword [exc_vec], 1
    expect_bits_ %1, dword [exc_dr6], 0xE00F, %2
    expect_eq_plain_ %1, dword [exc_ip], %3
    CLEAR6
%endmacro
%define EXPECT_DB expect_db_ __?LINE?__,

main:
    ; reset values and fixed bits
    mov eax, dr6
    EXPECT_EQ eax, 0xFFFF0FF0
    xor eax, eax
    mov dr6, eax
    mov eax, dr6
    EXPECT_EQ eax, 0xFFFF0FF0
    mov eax, dr7
    EXPECT_EQ eax, 0x400

    ; single-step: a trap behind the instruction that follows the one that set TF
    CATCH .tf
    pushfd
    or dword [esp], 0x100
    popfd
    nop
.tf_after:
    FAIL
.tf:
    EXPECT_DB BS, .tf_after
    EXPECT_BITS [exc_flags], 0x10100, 0x100 ; TF as it was, RF clear: a trap
    pushfd
    pop eax
    test eax, 0x100                     ; TF is off in the handler
    EXPECT_IF z
    ; TF over a faulting instruction: the fault wins, no trap
    CATCH .tf_ud
    pushfd
    or dword [esp], 0x100
    popfd
.ud:
    ud2
.tf_ud:
    EXPECT_EXC 6, 0, .ud
    EXPECT_BITS [exc_dr6], BS, 0
    ; TF and INT n: the trap comes when the handler has returned
    mov dword [exc_count], 0
    mov dword [hook_ip], .stop_step
    pushfd
    or dword [esp], 0x100
    popfd
    int 0x30
    nop
.int_after:
    mov dword [hook_ip], 0
    EXPECT_EQ dword [exc_vec], 1
    EXPECT_EQ dword [exc_ip], .int_after
    CLEAR6
    ; TF and MOV SS: no trap between MOV SS and the next instruction
    CATCH .ss
    mov bx, ss
    pushfd
    or dword [esp], 0x100
    popfd
    mov ss, bx
    nop
.ss_after:
    FAIL
.ss:
    EXPECT_DB BS, .ss_after
    ; ICEBP: #DB trap without DR6 bits
    CATCH .ice
    db 0xF1
.ice_after:
    FAIL
.ice:
    EXPECT_EQ dword [exc_vec], 1
    EXPECT_EQ dword [exc_ip], .ice_after
    EXPECT_BITS [exc_dr6], 0xE00F, 0

    ; execution breakpoint: a fault before the instruction
    mov eax, .bp0
    mov dr0, eax
    DR7 2                               ; G0, execution, length 1
    CATCH .bp0_hit
.bp0:
    nop
    FAIL
.bp0_hit:
    EXPECT_DB 1, .bp0
    EXPECT_BITS [exc_flags], 1 << 16, 0 ; the one fault that pushes RF clear
    ; with RF set by IRET it does not hit
    mov eax, .bp1
    mov dr0, eax
    CATCH .bp1_miss
    pushfd
    or dword [esp], 1 << 16
    push cs
    push dword .bp1
    iretd
.bp1:
    nop
    ud2
.bp1_miss:
    EXPECT_EQ dword [exc_vec], 6
    ; a disabled breakpoint
    DR7 0
    mov eax, .bp2
    mov dr1, eax
    CATCH .bp2_miss
.bp2:
    ud2
.bp2_miss:
    EXPECT_EQ dword [exc_vec], 6

    ; data breakpoints: traps; write only, read or write, lengths
    mov eax, SCRATCH + 4
    mov dr0, eax
    DR7 2 | 1 << 16 | 3 << 18           ; write, 4 bytes
    mov eax, [SCRATCH + 4]              ; reads do not count
    CATCH .w
    mov byte [SCRATCH + 7], 1
.w_after:
    FAIL
.w:
    EXPECT_DB 1, .w_after
    mov byte [SCRATCH + 8], 1           ; just behind
    mov byte [SCRATCH + 3], 1           ; just before
    CATCH .w2
    mov dword [SCRATCH + 1], 0          ; overlaps from below
.w2_after:
    FAIL
.w2:
    EXPECT_DB 1, .w2_after
    DR7 2 | 3 << 16 | 0 << 18           ; read or write, 1 byte
    CATCH .r
    mov eax, [SCRATCH + 2]
.r_after:
    FAIL
.r:
    EXPECT_DB 1, .r_after
    ; two at once
    mov eax, SCRATCH
    mov dr2, eax
    mov eax, SCRATCH + 4
    mov dr0, eax
    DR7 2 | 2 << 4 | 3 << 16 | 1 << 24
    CATCH .two
    mov esi, SCRATCH + 4
    mov edi, SCRATCH
    movsb
.two_after:
    FAIL
.two:
    EXPECT_DB 5, .two_after
    ; REP: after the iteration that hit, pointing at the instruction
    mov eax, SCRATCH + 8
    mov dr0, eax
    DR7 2 | 1 << 16
    mov edi, SCRATCH
    mov ecx, 32
    CATCH .rep
.rep_at:
    rep stosb
    FAIL
.rep:
    EXPECT_EQ dword [exc_vec], 1
    EXPECT_EQ ecx, 32 - 9
    EXPECT_EQ edi, SCRATCH + 9
    EXPECT_EQ dword [exc_ip], .rep_at
    CLEAR6
    ; a hit in the MOV SS shadow is delivered after the next instruction
    mov word [SCRATCH + 8], DATA32
    DR7 2 | 3 << 16 | 1 << 18
    CATCH .shadow
    mov ss, [SCRATCH + 8]
    nop
.shadow_after:
    FAIL
.shadow:
    EXPECT_DB 1, .shadow_after
    DR7 0

    ; I/O breakpoints need CR4.DE
    mov eax, cr4
    or eax, 8
    mov cr4, eax
    mov eax, 0x80
    mov dr3, eax
    DR7 2 << 6 | 2 << 28
    CATCH .io
    in al, 0x80
.io_after:
    FAIL
.io:
    EXPECT_DB 8, .io_after
    in al, 0x81
    DR7 0
    ; DR4 and DR5: aliases without DE, #UD with it
    EXPECT_FAULT 6, 0, {mov eax, dr4}
    EXPECT_FAULT 6, 0, {mov dr5, eax}
    mov eax, cr4
    and eax, ~8
    mov cr4, eax
    mov eax, dr4
    EXPECT_EQ eax, 0xFFFF0FF0
    mov eax, dr5
    EXPECT_EQ eax, 0x400

    ; general detect: a fault at the access; GD is cleared on entry to the handler
    DR7 BD
    CATCH .gd
.gd_at:
    mov eax, dr0
    FAIL
.gd:
    mov eax, dr7
    test eax, BD
    EXPECT_IF z
    EXPECT_EQ dword [exc_vec], 1
    EXPECT_EQ dword [exc_ip], .gd_at
    EXPECT_BITS [exc_dr6], BD, BD
    PASS

; Called by the exception handlers: ends single-stepping once the trap has come.
.stop_step:
    cmp dword [exc_vec], 1
    jne .not_yet
    mov eax, [exc_frame]
    and dword [eax + 8], ~0x100
.not_yet:
    ret
