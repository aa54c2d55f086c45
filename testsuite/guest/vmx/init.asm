; INIT and SIPI in VMX operation: exits from every activity state, what is blocked and what is dropped.
; models: Westmere, core2duo, max
; cpus: 2
; manual: SDM 3C 23.8, 25.2, 26.3.1.5, 27.1, 27.2.1
%include "guest.inc"
%include "long.inc"
%include "vmx.inc"
%include "sender.inc"

%define ACTIVE 0
%define HLT    1
%define SHUTDOWN 2
%define WAIT_FOR_SIPI 3

; ENTER activity state: into a guest that would run for ever.
%macro ENTER_GUEST 1
    call vm_fresh
    VMW GUEST_ACTIVITY_STATE, %1
    mov qword [g_rbx], 0
    mov qword [guest_rip], endless
    call run_guest
%endmacro

main:
    ENTER_LONG
    call sender_start
    call vmx_start

    ; --- INIT: reason 3, from the active, the HLT and the shutdown state
    SEND COMMAND_INIT
    ENTER_GUEST ACTIVE
    EXPECT_EQ eax, 0
    EXPECT_FIELD EXIT_REASON, 3
    EXPECT_FIELD EXIT_QUALIFICATION, 0
    EXPECT_FIELD IDT_VECTORING_INFO, 0
    EXPECT_FIELD GUEST_ACTIVITY_STATE, ACTIVE
    cmp qword [g_rbx], 100              ; it came while the guest was running
    EXPECT_IF a
    ; it is used up, and the processor goes on where it was
    EXPECT_NO_EXIT {mov ebx, 1}
    SEND COMMAND_INIT
    ENTER_GUEST HLT
    EXPECT_FIELD EXIT_REASON, 3
    EXPECT_FIELD GUEST_ACTIVITY_STATE, HLT
    EXPECT_FIELD GUEST_RIP, endless
    SEND COMMAND_INIT
    ENTER_GUEST SHUTDOWN
    EXPECT_FIELD EXIT_REASON, 3
    EXPECT_FIELD GUEST_ACTIVITY_STATE, SHUTDOWN

    ; --- blocked in VMX root operation: the next entry exits before the guest's first instruction
    SEND COMMAND_INIT
    call sender_wait
    ENTER_GUEST ACTIVE
    EXPECT_FIELD EXIT_REASON, 3
    EXPECT_FIELD GUEST_RIP, endless
    EXPECT_EQ qword [g_rbx], 0
    EXPECT_NO_EXIT {mov ebx, 1}

    ; --- SIPI: dropped in root operation and where nobody waits for it
    SEND COMMAND_SIPI + 0x12
    call sender_wait
    EXPECT_NO_EXIT {mov ebx, 1}
    SEND COMMAND_SIPI + 0x12
    call vm_fresh
    mov qword [guest_rip], counting
    call run_guest
    EXPECT_FIELD EXIT_REASON, 18
    EXPECT_EQ dword [SENDER], 0
    ; reason 4 and its vector from wait-for-SIPI
    SEND COMMAND_SIPI + 0x9A
    ENTER_GUEST WAIT_FOR_SIPI
    EXPECT_EQ eax, 0
    EXPECT_FIELD EXIT_REASON, 4
    EXPECT_FIELD EXIT_QUALIFICATION, 0x9A
    EXPECT_FIELD GUEST_ACTIVITY_STATE, WAIT_FOR_SIPI
    EXPECT_FIELD GUEST_RIP, endless
    EXPECT_EQ qword [g_rbx], 0
    ; INIT is blocked there, and does not get lost: it arrives before the SIPI, exits after it
    SEND COMMAND_INIT
    call sender_wait
    SEND COMMAND_SIPI + 0x33
    ENTER_GUEST WAIT_FOR_SIPI
    EXPECT_FIELD EXIT_REASON, 4
    EXPECT_FIELD EXIT_QUALIFICATION, 0x33
    ENTER_GUEST ACTIVE
    EXPECT_FIELD EXIT_REASON, 3
    EXPECT_FIELD GUEST_RIP, endless
    EXPECT_NO_EXIT {mov ebx, 1}
    PASS

endless:
    inc rbx
    pause
    jmp endless
counting:
    mov ecx, 100000
.next:
    loop .next
    vmcall
