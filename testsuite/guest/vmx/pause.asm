; PAUSE exiting and PAUSE-loop exiting: gap, window, CPL, a new series after VM entry; models without it.
; models: max, Westmere, core2duo
; manual: SDM 3C 24.6.13, 25.1.3
%include "guest.inc"
%include "long.inc"
%include "vmx.inc"

%define PLE_GAP    0x4020
%define PLE_WINDOW 0x4022
%define PLE        (1 << 10)
%define FEW 1000                        ; PAUSEs of one run of the loops below

; LOOP_EXIT reason: the loop at [loop_at] ends with it; RBX PAUSEs were run in RDI cycles.
%macro loop_exit_ 2
    call vm_fresh
    mov qword [g_rbx], 0
    mov rax, [loop_at]
    mov [guest_rip], rax
    rdtsc
    mov [started], eax
    call run_guest
    mov r12d, eax
    rdtsc
    sub eax, [started]
    mov [cycles], eax
    expect_eq_plain_ %1, r12d, 0
    expect_field_ %1, EXIT_REASON, %2
%endmacro
%define LOOP_EXIT loop_exit_ __?LINE?__,

main:
    ENTER_LONG
    call vmx_start
    mov qword [loop_at], close_loop
    LOOP_EXIT 18
    EXPECT_EQ qword [g_rbx], FEW
    PROC 1 << 30
    EXPECT_EXIT 40, 0, 2, pause
    LOOP_EXIT 40
    EXPECT_EQ qword [g_rbx], 1
    PROC 1 << 31
    mov ecx, 0x48B
    rdmsr
    test edx, PLE
    jnz .loops
    PROC2 PLE
    EXPECT_ENTRY_ERROR 7                ; not on this model
    PASS

.loops:
    PROC2 PLE
    ; a long series: exits when it has lasted longer than the window
    VMW PLE_GAP, 1000
    VMW PLE_WINDOW, 5000
    LOOP_EXIT 40
    EXPECT_FIELD EXIT_QUALIFICATION, 0
    EXPECT_FIELD EXIT_INSTRUCTION_LENGTH, 2
    EXPECT_FIELD GUEST_RIP, close_loop.pause
    cmp qword [g_rbx], 2
    EXPECT_IF ae
    cmp qword [g_rbx], FEW
    EXPECT_IF b
    cmp dword [cycles], 5000
    EXPECT_IF a
    ; the first PAUSE after an entry begins a series: the same one goes on for a window
    mov qword [g_rbx], 1
    mov qword [guest_rip], close_loop.pause
    call run_guest
    EXPECT_FIELD EXIT_REASON, 40
    cmp qword [g_rbx], 2
    EXPECT_IF ae
    ; a wider window lasts longer; a window that the loop never fills does not exit
    mov r13d, [g_rbx]
    VMW PLE_WINDOW, 10000
    LOOP_EXIT 40
    cmp [g_rbx], r13d
    EXPECT_IF a
    cmp dword [cycles], 10000
    EXPECT_IF a
    VMW PLE_WINDOW, 0x7FFFFFFF
    LOOP_EXIT 18
    ; PAUSEs further apart than the gap are no series
    VMW PLE_WINDOW, 100
    VMW PLE_GAP, 20
    mov qword [loop_at], far_loop
    LOOP_EXIT 18
    EXPECT_EQ qword [g_rbx], FEW
    VMW PLE_GAP, 0x7FFFFFFF
    LOOP_EXIT 40
    ; a single PAUSE is no loop, even with a window of 0
    VMW PLE_WINDOW, 0
    EXPECT_NO_EXIT pause
    ; only at CPL 0
    VMW PLE_WINDOW, 100
    VMW PLE_GAP, 1000
    mov qword [loop_at], user_guest
    LOOP_EXIT 18
    EXPECT_EQ dword [exc_vec], NO_FAULT
    EXPECT_EQ qword [g_rbx], FEW
    call vm_restore_segments
    ; PAUSE exiting has priority over it
    PROC 1 << 31 | 1 << 30
    VMW PLE_WINDOW, 0x7FFFFFFF
    mov qword [loop_at], close_loop
    LOOP_EXIT 40
    EXPECT_EQ qword [g_rbx], 1
    ; without the control its fields mean nothing
    PROC 1 << 31
    PROC2 0
    VMW PLE_WINDOW, 0
    LOOP_EXIT 18
    PASS

close_loop:
    inc ebx
.pause:
    pause
    cmp ebx, FEW
    jb close_loop
    vmcall
far_loop:
    inc ebx
    pause
    mov ecx, 400
.wait:
    dec ecx
    jnz .wait
    cmp ebx, FEW
    jb far_loop
    vmcall
user_guest:
    CATCH .caught
    go_user_ .user
.user:
    inc ebx
    pause
    cmp ebx, FEW
    jb .user
    int NO_FAULT
.caught:
    vmcall

align 8
loop_at: dq 0
started: dd 0
cycles:  dd 0
