; Events and VMX: exceptions, injection, windows, NMIs, external interrupts, timer, monitor trap flag.
; models: Westmere, max
; manual: SDM 3C 25.2, 25.5, 26.5-26.7, 27.2.2-27.2.4, 27.3.4
%include "guest.inc"
%include "long.inc"
%include "vmx.inc"

%define VALID (1 << 31)
%define HW    (3 << 8)
%define SOFT  (4 << 8)
%define SOFTX (6 << 8)
%define NMI   (2 << 8)
%define ERR   (1 << 11)

; INJECT info, error, length
%macro INJECT 3
    VMW ENTRY_INTERRUPTION_INFO, %1
    VMW ENTRY_EXCEPTION_ERROR, %2
    VMW ENTRY_INSTRUCTION_LENGTH, %3
%endmacro

; After an event was injected at `label`: the guest's handler got it with this pushed pointer.
%macro expect_injected_ 5       ; line, vector, error, ip, first guest rip
    mov dword [exc_vec], -1
    mov qword [guest_rip], %5
    call run_guest
    expect_eq_plain_ %1, eax, 0
    call vm_restore_segments
    expect_field_ %1, EXIT_REASON, 18
    expect_eq_plain_ %1, dword [exc_vec], %2
    expect_eq_plain_ %1, dword [exc_err], %3
    expect_eq_plain_ %1, dword [exc_ip], %4
    expect_field_ %1, ENTRY_INTERRUPTION_INFO, (info_now & 0x7FFFFFFF)
%endmacro
%define EXPECT_INJECTED expect_injected_ __?LINE?__,

main:
    mov dword [LAPIC + 0xF0], 0x1FF     ; software enable
    ENTER_LONG
    call vmx_start
    ; --- exceptions: information, error code, qualification of #PF and #DB
    VMW EXCEPTION_BITMAP, -1
    EXPECT_EXIT 0, 0, ANY, ud2
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | HW | 6
    VMR GUEST_RFLAGS
    EXPECT_BITS eax, 1 << 16, 1 << 16   ; RF as the pushed image would have it (27.3.3)
    EXPECT_EXIT 0, 0, 1, int3
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | SOFTX | 3
    mov qword [g_rcx], 0
    EXPECT_EXIT 0, 0, ANY, div ecx
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | HW | 0
    mov qword [g_rbx], 0x7FFFF000       ; a hole in the page tables
    EXPECT_EXIT 0, 0x7FFFF000, ANY, mov [rbx], eax
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | HW | ERR | 14
    EXPECT_FIELD EXIT_INTERRUPTION_ERROR, 2
    EXPECT_EXIT 0, 0, ANY, {db 0x0F, 0x00, 0xD8} ; LTR AX: AX = garbage selector, checked below
    mov qword [g_rax], 0x200
    EXPECT_EXIT 0, 0, ANY, mov ds, ax
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | HW | ERR | 13
    EXPECT_FIELD EXIT_INTERRUPTION_ERROR, 0x200
    EXPECT_EXIT 0, 0, 1, {db 0xF1}      ; ICEBP: type 5
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | 5 << 8 | 1
    ; #PF by error-code mask and match
    VMW EXCEPTION_BITMAP, 1 << 14
    VMW PAGE_FAULT_ERROR_MASK, 2
    VMW PAGE_FAULT_ERROR_MATCH, 0       ; reads exit, writes do not
    EXPECT_EXIT 0, 0x7FFFF000, ANY, mov eax, [rbx]
    EXPECT_GUEST_FAULT 14, 2, mov [rbx], eax
    VMW PAGE_FAULT_ERROR_MASK, 0
    VMW EXCEPTION_BITMAP, 0
    EXPECT_GUEST_FAULT 6, 0, ud2

    ; A fault while an event is delivered: IDT-vectoring information
    VMW EXCEPTION_BITMAP, 1 << 13
    mov byte [IDT64 + 0x30 * 16 + 5], 0 ; a bad gate
    EXPECT_EXIT 0, 0, ANY, int 0x30
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | HW | ERR | 13
    EXPECT_FIELD EXIT_INTERRUPTION_ERROR, 0x30 * 8 + 2
    EXPECT_FIELD IDT_VECTORING_INFO, VALID | SOFT | 0x30
    EXPECT_FIELD EXIT_INSTRUCTION_LENGTH, 2
    mov byte [IDT64 + 0x30 * 16 + 5], 0x8E
    mov byte [IDT64 + 6 * 16 + 5], 0
    EXPECT_EXIT 0, 0, ANY, ud2
    EXPECT_FIELD EXIT_INTERRUPTION_ERROR, 6 * 8 + 2 + 1 ; EXT: a hardware exception was under way
    EXPECT_FIELD IDT_VECTORING_INFO, VALID | HW | 6
    ; ... #GP in #GP makes a double fault
    VMW EXCEPTION_BITMAP, 1 << 8
    mov byte [IDT64 + 13 * 16 + 5], 0
    EXPECT_EXIT 0, 0, ANY, {db 0x8E, 0xD8} ; MOV DS, AX with AX = 200H
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | HW | ERR | 8
    EXPECT_FIELD EXIT_INTERRUPTION_ERROR, 0
    VMR IDT_VECTORING_INFO
    EXPECT_BITS eax, VALID, 0
    ; ... and without a #DF handler a triple fault
    VMW EXCEPTION_BITMAP, 0
    mov byte [IDT64 + 8 * 16 + 5], 0
    EXPECT_EXIT 2, 0, ANY, {db 0x8E, 0xD8}
    mov byte [IDT64 + 8 * 16 + 5], 0x8E
    mov byte [IDT64 + 13 * 16 + 5], 0x8E
    mov byte [IDT64 + 6 * 16 + 5], 0x8E

    ; --- injection
%define info_now (VALID | HW | 6)
    call vm_fresh
    INJECT info_now, 0, 0
    mov dword [catch_ip], inject_end
    mov dword [catch_sp], GUEST_STACK - 0x100
    EXPECT_INJECTED 6, 0, inject_here, inject_here
%define info_now (VALID | HW | ERR | 13)
    call vm_fresh
    INJECT info_now, 0x1238, 0
    mov dword [catch_ip], inject_end
    EXPECT_INJECTED 13, 0x1238, inject_here, inject_here
%define info_now (VALID | SOFT | 0x30)
    call vm_fresh
    INJECT info_now, 0, 2
    mov dword [catch_ip], inject_end
    EXPECT_INJECTED 0x30, 0, inject_here + 2, inject_here
%define info_now (VALID | SOFTX | 3)
    call vm_fresh
    INJECT info_now, 0, 1
    mov dword [catch_ip], inject_end
    EXPECT_INJECTED 3, 0, inject_here + 1, inject_here
%define info_now (VALID | 0x41)
    call vm_fresh
    VMW GUEST_RFLAGS, 0x202
    INJECT info_now, 0, 0
    mov dword [catch_ip], inject_end
    EXPECT_INJECTED 0x41, 0, inject_here, inject_here
    ; Injection of #PF leaves CR2 alone; the exception bitmap does not apply to it
    VMW EXCEPTION_BITMAP, -1
    mov eax, 0x5000
    mov cr2, rax
%define info_now (VALID | HW | ERR | 14)
    call vm_fresh
    INJECT info_now, 4, 0
    mov dword [catch_ip], inject_end
    EXPECT_INJECTED 14, 4, inject_here, inject_here
    EXPECT_EQ dword [exc_cr2], 0x5000
    VMW EXCEPTION_BITMAP, 0
    ; A fault during injected delivery is reported with the injected event
    VMW EXCEPTION_BITMAP, 1 << 11
    mov byte [IDT64 + 0x41 * 16 + 5], 0x0E ; not present
    call vm_fresh
    VMW GUEST_RFLAGS, 0x202
    INJECT VALID | 0x41, 0, 0
    mov qword [guest_rip], inject_here
    call run_guest
    EXPECT_EQ eax, 0
    EXPECT_FIELD EXIT_REASON, 0
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | HW | ERR | 11
    EXPECT_FIELD EXIT_INTERRUPTION_ERROR, 0x41 * 8 + 2 + 1
    EXPECT_FIELD IDT_VECTORING_INFO, VALID | 0x41
    EXPECT_FIELD GUEST_RIP, inject_here
    mov byte [IDT64 + 0x41 * 16 + 5], 0x8E
    VMW EXCEPTION_BITMAP, 0
    ; Injection into a halted guest wakes it
    call vm_fresh
    VMW GUEST_RFLAGS, 0x202
    VMW GUEST_ACTIVITY_STATE, 1
%define info_now (VALID | 0x41)
    INJECT info_now, 0, 0
    mov dword [catch_ip], inject_end
    EXPECT_INJECTED 0x41, 0, inject_here, inject_here

    ; --- interrupt window
    PROC 1 << 2
    call vm_fresh
    VMW GUEST_RFLAGS, 0x202
    mov qword [guest_rip], inject_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 7
    EXPECT_FIELD GUEST_RIP, inject_here ; before the first instruction
    call vm_fresh
    mov qword [guest_rip], sti_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 7
    EXPECT_FIELD GUEST_RIP, sti_after   ; one instruction behind STI
    call vm_fresh
    VMW GUEST_RFLAGS, 0x202
    VMW GUEST_INTERRUPTIBILITY, 1       ; blocking by STI
    mov qword [guest_rip], sti_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 7
    EXPECT_FIELD GUEST_RIP, sti_here + 1
    ; a halted guest is woken by the window
    call vm_fresh
    VMW GUEST_RFLAGS, 0x202
    VMW GUEST_ACTIVITY_STATE, 1
    call run_guest
    EXPECT_FIELD EXIT_REASON, 7
    EXPECT_FIELD GUEST_ACTIVITY_STATE, 1
    PROC 0

    ; --- external interrupts: pending in the local APIC before entry
    PIN 1
    call self_interrupt_40
    EXPECT_EXIT 1, 0, ANY, nop          ; whatever the guest's IF
    VMR EXIT_INTERRUPTION_INFO
    EXPECT_BITS eax, VALID, 0           ; not acknowledged
    EXITS 1 << 9 | 1 << 15
    EXPECT_EXIT 1, 0, ANY, nop
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | 0x40
    mov dword [LAPIC + 0xB0], 0
    EXPECT_NO_EXIT nop
    EXITS 1 << 9
    ; during HLT
    PIN 1
    PROC 0
    call vm_fresh
    VMW GUEST_RFLAGS, 0x202
    mov qword [guest_rip], hlt_here
    call self_interrupt_timer
    call run_guest
    EXPECT_FIELD EXIT_REASON, 1
    EXPECT_FIELD GUEST_ACTIVITY_STATE, 1
    EXPECT_FIELD GUEST_RIP, hlt_here + 1
    mov dword [exc_vec], 0
    sti
    nop
    cli
    EXPECT_EQ dword [exc_vec], 0x40     ; still pending for the host
    mov dword [LAPIC + 0xB0], 0
    ; Without the control the guest takes it
    PIN 0
    call self_interrupt_40
    call vm_fresh
    mov dword [exc_vec], 0
    EXPECT_NO_EXIT {nop}
    EXPECT_EQ dword [exc_vec], 0        ; IF = 0
    call vm_fresh
    mov qword [guest_rip], sti_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 18
    EXPECT_EQ dword [exc_vec], 0x40
    EXPECT_EQ dword [exc_ip], sti_after
    mov dword [LAPIC + 0xB0], 0

    ; --- NMI
    PIN 1 << 3
    call vm_fresh
    mov qword [guest_rip], nmi_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 0
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | NMI | 2
    EXPECT_FIELD GUEST_RIP, nmi_after
    ; the exit blocks NMIs in the host until IRET
    mov dword [exc_vec], 0
    mov dword [LAPIC + 0x310], 0
    mov dword [LAPIC + 0x300], 0x400
    nop
    EXPECT_EQ dword [exc_vec], 0
    call do_iret
    EXPECT_EQ dword [exc_vec], 2
    ; Virtual NMIs and the NMI window
    PIN 1 << 3 | 1 << 5
    PROC 1 << 22
    call vm_fresh
    mov qword [guest_rip], inject_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 8
    EXPECT_FIELD GUEST_RIP, inject_here
    call vm_fresh
    VMW GUEST_INTERRUPTIBILITY, 8       ; blocked: the window opens after IRET
    mov qword [guest_rip], iret_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 8
    EXPECT_FIELD GUEST_RIP, iret_after
    EXPECT_FIELD GUEST_INTERRUPTIBILITY, 0
    PROC 0
    call vm_fresh
%define info_now (VALID | NMI | 2)
    INJECT info_now, 0, 0
    mov dword [catch_ip], inject_end
    EXPECT_INJECTED 2, 0, inject_here, inject_here
    EXPECT_FIELD GUEST_INTERRUPTIBILITY, 8
    PIN 0

    ; --- monitor trap flag: one instruction, then the exit
    PROC 1 << 27
    call vm_fresh
    mov qword [guest_rip], inject_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 37
    EXPECT_FIELD GUEST_RIP, inject_here + 1
    call continue_guest
    EXPECT_FIELD EXIT_REASON, 37
    EXPECT_FIELD GUEST_RIP, inject_here + 2
    ; ... with an injected event the exit comes before the handler's first instruction
    call vm_fresh
    VMW GUEST_RFLAGS, 0x202
    INJECT VALID | 0x41, 0, 0
    call run_guest
    EXPECT_FIELD EXIT_REASON, 37
    EXPECT_FIELD GUEST_RIP, stubs64 + 0x41 * 16
    PROC 0

    ; --- preemption timer
    PIN 1 << 6
    EXITS 1 << 9 | 1 << 22
    VMW PREEMPTION_TIMER_VALUE, 0
    call vm_fresh
    mov qword [guest_rip], inject_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 52
    EXPECT_FIELD GUEST_RIP, inject_here
    VMW PREEMPTION_TIMER_VALUE, 50
    call vm_fresh
    mov qword [guest_rip], loop_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 52
    EXPECT_FIELD PREEMPTION_TIMER_VALUE, 0
    VMW PREEMPTION_TIMER_VALUE, 1000000
    EXPECT_NO_EXIT nop
    VMR PREEMPTION_TIMER_VALUE
    cmp eax, 1000000                    ; saved, has counted
    EXPECT_IF be
    cmp eax, 900000
    EXPECT_IF a
    VMW PREEMPTION_TIMER_VALUE, 100     ; fires in HLT too
    call vm_fresh
    mov qword [guest_rip], hlt_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 52
    EXPECT_FIELD GUEST_ACTIVITY_STATE, 1
    PIN 0
    EXITS 1 << 9

    ; --- single-step and pending debug exceptions
    VMW EXCEPTION_BITMAP, 2
    call vm_fresh
    VMW GUEST_RFLAGS, 0x102
    mov qword [guest_rip], inject_here
    call run_guest
    EXPECT_FIELD EXIT_REASON, 0
    EXPECT_FIELD EXIT_QUALIFICATION, 1 << 14
    EXPECT_FIELD EXIT_INTERRUPTION_INFO, VALID | HW | 1
    EXPECT_FIELD GUEST_RIP, inject_here + 1
    call vm_fresh
    VMW GUEST_PENDING_DEBUG, 1 << 12 | 1
    call run_guest
    EXPECT_FIELD EXIT_REASON, 0
    EXPECT_FIELD EXIT_QUALIFICATION, 1
    EXPECT_FIELD GUEST_RIP, inject_here
    VMW EXCEPTION_BITMAP, 0

    ; --- no task switches in IA-32e mode, so no exit for them
    EXPECT_GUEST_FAULT 13, TSSSEL, jmp far dword [tss_pointer]
    PASS

inject_here:
    nop
    nop
    nop
inject_end:
    vmcall
sti_here:
    sti
    nop
sti_after:
    nop
    vmcall
hlt_here:
    hlt
    vmcall
loop_here:
    jmp loop_here
nmi_here:
    mov dword [LAPIC + 0x310], 0
    mov dword [LAPIC + 0x300], 0x400
nmi_after:
    nop
    vmcall
iret_here:
    push DATA32
    push GUEST_STACK
    push 2
    push CODE64
    push iret_after
    iretq
iret_after:
    nop
    vmcall

do_iret:
    mov rax, rsp
    push DATA32
    push rax
    push 2
    push CODE64
    push .back
    iretq
.back:
    ret
self_interrupt_40:
    mov dword [LAPIC + 0x80], 0
    mov dword [LAPIC + 0x300], 0x40040 ; self, vector 40H
    ret
self_interrupt_timer:
    mov dword [LAPIC + 0x3E0], 0xB      ; divide by 1
    mov dword [LAPIC + 0x320], 0x40
    mov dword [LAPIC + 0x380], 20000
    ret
tss_pointer: dd 0
    dw TSSSEL
