; x87 exceptions the way of PCs (CR0.NE = 0): FERR#, IRQ 13, port F0H, IGNNE#.
; models: Westmere, barcelona, max
; chipset: pic
; manual: SDM 1 8.7.2, appendix D; SDM 3A 2.5 (NE); 82371SB (PIIX3) datasheet, port F0H
%include "guest.inc"

%define IRQ13 0x2D                      ; behind vector base 28H of the slave
%define HITS SCRATCH                    ; interrupts seen
%define STATUS SCRATCH + 4              ; FNSTSW inside the handler
%define CONTROL SCRATCH + 8

%macro OUTB 2
    mov al, %2
    out %1, al
%endmacro

; Leaves a pending divide-by-zero.
%macro DIVIDE_BY_ZERO 0
    fninit
    fldcw [CONTROL]
    fld1
    fldz
    fdivp
%endmacro

; The waiting instruction %2 meets the pending exception: %1 interrupts, each at its own address.
%macro wait_ 3+                         ; line, interrupts, instruction
    mov dword [HITS], 0
    sti
    nop
%%at:
    %3
    cli
    expect_eq_plain_ %1, dword [HITS], %2
%if %2
    expect_eq_plain_ %1, dword [exc_vec], IRQ13
    expect_eq_plain_ %1, dword [exc_ip], %%at
%endif
%endmacro
%define EXPECT_IRQ13 wait_ __?LINE?__,

; The handler's part that every test shares; the hook has done the rest.
acknowledge:
    inc dword [HITS]
    OUTB 0xA0, 0x20
    OUTB 0x20, 0x20
    ret

port_then_clear:                        ; as system software does it
    fnstsw [STATUS]
    OUTB 0xF0, 0
    fnclex
    jmp acknowledge
port_only:
    OUTB 0xF0, 0
    jmp acknowledge
clear_then_port:
    fnclex
    OUTB 0xF0, 0
    jmp acknowledge
clear_only:
    fnclex
    jmp acknowledge

start_pic:
    OUTB 0x20, 0x11
    OUTB 0x21, 0x20
    OUTB 0x21, 4
    OUTB 0x21, 1
    OUTB 0xA0, 0x11
    OUTB 0xA1, 0x28
    OUTB 0xA1, 2
    OUTB 0xA1, 1
    OUTB 0x21, 0xFB                     ; the cascade
    OUTB 0xA1, 0xDF                     ; IRQ 13
    mov dword [LAPIC + 0xF0], 0x1FF     ; on
    mov dword [LAPIC + 0x350], 0x700    ; LINT0: from the 8259s
    ret

; ZF = 0 if the slave has a request for IRQ 13.
request_of_irq13:
    OUTB 0xA0, 0x0A
    in al, 0xA0
    test al, 0x20
    ret

main:
    call start_pic
    mov word [CONTROL], 0x37B           ; divide by zero unmasked
    mov eax, cr0
    and eax, ~(1 << 5 | 8 | 4)          ; NE, TS, EM
    or eax, 2                           ; MP
    mov cr0, eax

    ; nothing happens where the exception arises, nor at instructions that do not wait
    mov dword [hook_ip], port_then_clear
    mov dword [HITS], 0
    sti
    DIVIDE_BY_ZERO
    fnstsw ax
    fnstcw [SCRATCH + 12]
    nop
    cli
    EXPECT_EQ dword [HITS], 0
    EXPECT_BITS eax, 0x8084, 0x8084     ; B, ES, ZE
    call request_of_irq13
    EXPECT_IF z

    ; the next waiting instruction waits for the interrupt, and then runs
    EXPECT_IRQ13 1, fld1
    EXPECT_BITS [STATUS], 0x8084, 0x8084
    fnstsw ax
    EXPECT_BITS eax, 0x8084, 0
    DIVIDE_BY_ZERO
    EXPECT_IRQ13 1, wait
    DIVIDE_BY_ZERO
    EXPECT_IRQ13 1, {fist dword [SCRATCH + 12]}
    call request_of_irq13
    EXPECT_IF z

    ; IGNNE#: after the write to F0H, with the exception still pending, x87 instructions run
    mov dword [hook_ip], port_only
    DIVIDE_BY_ZERO
    EXPECT_IRQ13 1, fld1
    fnstsw ax
    EXPECT_BITS eax, 0x8084, 0x8084
    EXPECT_IRQ13 0, fld1
    EXPECT_IRQ13 0, wait
    call request_of_irq13
    EXPECT_IF z
    ; until the exception is cleared: the next one interrupts again, however it is cleared
    fnclex
    DIVIDE_BY_ZERO
    EXPECT_IRQ13 1, fld1
    DIVIDE_BY_ZERO                      ; its FNINIT clears
    EXPECT_IRQ13 1, fld1
    fnstenv [SCRATCH + 64]              ; masks all
    fnclex
    fldcw [CONTROL]
    fldz
    fld1
    fdivrp
    EXPECT_IRQ13 1, fld1
    fnsave [SCRATCH + 64]
    DIVIDE_BY_ZERO
    EXPECT_IRQ13 1, fld1

    ; F0H after the exception has been cleared: takes the request back, no IGNNE#
    mov dword [hook_ip], clear_then_port
    DIVIDE_BY_ZERO
    EXPECT_IRQ13 1, fld1
    DIVIDE_BY_ZERO
    EXPECT_IRQ13 1, fld1
    call request_of_irq13
    EXPECT_IF z

    ; the request stays until F0H is written, also when the exception is gone
    mov dword [hook_ip], clear_only
    DIVIDE_BY_ZERO
    EXPECT_IRQ13 1, fld1
    OUTB 0xF0, 0
    DIVIDE_BY_ZERO
    EXPECT_IRQ13 1, fld1
    OUTB 0xF0, 0

    ; NE = 1: #MF and no IRQ 13
    mov eax, cr0
    or eax, 1 << 5
    mov cr0, eax
    mov dword [HITS], 0
    DIVIDE_BY_ZERO
    EXPECT_FAULT 16, 0, fld1
    EXPECT_FAULT 16, 0, wait
    sti
    nop
    cli
    EXPECT_EQ dword [HITS], 0
    call request_of_irq13
    EXPECT_IF z
    PASS
