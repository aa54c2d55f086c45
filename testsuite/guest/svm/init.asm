; INIT under SVM: the intercept, GIF, and its redirection to #SX; SIPI.
; models: max-amd, barcelona, opteron-f
; cpus: 2
; manual: APM2 15.13.4, 15.17, 15.30.1
%include "guest.inc"
%include "long.inc"
%include "svm.inc"
%include "sender.inc"

%define VM_CR 0xC0010114
%define R_INIT 2
%define SX 30
; VMRUN of a guest that would run for ever; GIF stays 0.
%macro ENTER_GUEST 0
    call svm_fresh
    mov qword [S_RIP], endless
    mov eax, VMCB
    xor ebx, ebx
    clgi
    vmrun
    mov r12, rbx
%endmacro
; GIF = 1: the INIT that is pending comes as #SX(1), here.
%macro expect_sx_ 1
    CATCH %%caught
    stgi
    nop
    fail_at_ %1
%%caught:
    expect_exc_ %1, SX, 1, 0
%endmacro
%define EXPECT_SX expect_sx_ __?LINE?__

main:
    ENTER_LONG
    call sender_start
    call svm_start
    mov ecx, VM_CR
    rdmsr
    or eax, R_INIT
    wrmsr

    ; --- intercepted: exit 63H, and the INIT stays pending for the host
    mov dword [INTERCEPT_1], 1 << 3
    SEND COMMAND_INIT
    ENTER_GUEST
    EXPECT_MEM EXITCODE, 0x63
    EXPECT_MEM EXITINFO1, 0
    EXPECT_MEM EXITINTINFO, 0
    cmp r12, 100                        ; it came while the guest was running
    EXPECT_IF a
    EXPECT_SX
    ; once only
    call svm_fresh
    mov qword [S_RIP], counting
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    ; --- GIF = 0 holds it back; VMRUN sets GIF and exits before the guest's first instruction
    clgi
    SEND COMMAND_INIT
    call sender_wait
    ENTER_GUEST
    EXPECT_MEM EXITCODE, 0x63
    EXPECT_MEM S_RIP, endless
    EXPECT_EQ r12, 0
    EXPECT_SX
    ; --- GIF = 0 in the host alone
    clgi
    SEND COMMAND_INIT
    call sender_wait
    EXPECT_SX
    ; --- with GIF = 1 at once
    CATCH .host_sx
    SEND COMMAND_INIT
.host_loop:
    pause
    jmp .host_loop
.host_sx:
    EXPECT_EXC SX, 1, 0

    ; --- not intercepted: redirected to #SX in the guest, which may be intercepted
    mov dword [INTERCEPT_1], 0
    SEND COMMAND_INIT
    call svm_fresh
    mov qword [S_RIP], sx_guest
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_EXC SX, 1, 0
    mov dword [INTERCEPT_EXC], 1 << SX
    SEND COMMAND_INIT
    ENTER_GUEST
    EXPECT_MEM EXITCODE, 0x40 + SX
    EXPECT_MEM EXITINFO1, 1
    mov dword [INTERCEPT_EXC], 0
    stgi                                ; nothing is left
    nop
    ; --- a SIPI is dropped: nobody waits for it
    SEND COMMAND_SIPI + 0x12
    call sender_wait
    SEND COMMAND_SIPI + 0x12
    call svm_fresh
    mov qword [S_RIP], counting
    call run_guest
    EXPECT_MEM EXITCODE, 0x81
    EXPECT_EQ dword [SENDER], 0
    PASS

endless:
    inc rbx
    pause
    jmp endless
counting:
    mov ecx, 100000
.next:
    loop .next
    vmmcall
sx_guest:
    CATCH .caught
.loop:
    pause
    jmp .loop
.caught:
    vmmcall
