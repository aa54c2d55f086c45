; The PAUSE intercept and its filter: count, threshold, reload by VMRUN; models without the filter.
; models: max-amd, barcelona, opteron-f
; manual: APM2 15.14.4
%include "guest.inc"
%include "long.inc"
%include "svm.inc"

%define PAUSE_THRESHOLD (VMCB + 0x03C)
%define PAUSE_COUNT     (VMCB + 0x03E)
%define FEW 1000                        ; PAUSEs of one run of the loops below

; COUNTED code, least, most: the loop at [loop_at] ends with that exit after so many PAUSEs.
%macro counted_ 4
    call svm_fresh
    mov qword [g_rbx], 0
    mov rax, [loop_at]
    mov [S_RIP], rax
    call run_guest
    expect_mem_ %1, EXITCODE, %2
    cmp qword [g_rbx], %3
    expect_if_ %1, ae
    cmp qword [g_rbx], %4
    expect_if_ %1, be
%endmacro
%define COUNTED counted_ __?LINE?__,

main:
    ENTER_LONG
    call svm_start
    mov eax, 0x8000000A
    cpuid
    mov [svm_features], edx
    mov qword [loop_at], close_loop
    ; no intercept: no exit, whatever the filter holds
    mov word [PAUSE_COUNT], 3
    COUNTED 0x81, FEW, FEW
    mov word [PAUSE_COUNT], 0
    ; no count: the first PAUSE exits
    mov dword [INTERCEPT_1], 1 << 23
    EXPECT_EXIT 0x77, 0, 0, pause
    COUNTED 0x77, 1, 1
    mov word [PAUSE_COUNT], 10
    test dword [svm_features], 1 << 10
    jnz .filter
    ; without the filter the fields mean nothing
    EXPECT_EXIT 0x77, 0, 0, pause
    COUNTED 0x77, 1, 1
    PASS

.filter:
    ; the count is used up one by one (the manual's two descriptions differ by one), at any CPL
    mov word [PAUSE_THRESHOLD], 0
    EXPECT_NO_EXIT pause
    COUNTED 0x77, 10, 11
    EXPECT_MEM S_RIP, close_loop.pause
    EXPECT_EQ word [PAUSE_COUNT], 10    ; the field itself stays
    call svm_fresh
    mov qword [S_RIP], .user_guest
    call run_guest
    EXPECT_MEM EXITCODE, 0x77
    EXPECT_EQ byte [S_CPL], 3
    ; VMRUN loads it afresh: the same PAUSE does not exit again ...
    COUNTED 0x77, 10, 11
    mov qword [g_rbx], 1
    call run_guest
    EXPECT_MEM EXITCODE, 0x77
    cmp qword [g_rbx], 10
    EXPECT_IF ae
    ; ... and what another exit has interrupted starts again
    mov r13d, 5
.again:
    mov qword [loop_at], eight
    COUNTED 0x81, 8, 8
    dec r13d
    jnz .again

    test dword [svm_features], 1 << 12
    jz .done
    ; threshold: PAUSEs further apart than that begin a new series
    mov word [PAUSE_THRESHOLD], 20
    mov qword [loop_at], far_loop
    COUNTED 0x81, FEW, FEW
    mov word [PAUSE_COUNT], 1
    COUNTED 0x81, FEW, FEW
    mov word [PAUSE_THRESHOLD], 0xFFFF
    mov word [PAUSE_COUNT], 10
    COUNTED 0x77, 10, 11
    mov qword [loop_at], close_loop
    COUNTED 0x77, 10, 11
.done:
    PASS

.user_guest:
    go_user_ .user
.user:
    pause
    jmp .user

close_loop:
    inc ebx
.pause:
    pause
    cmp ebx, FEW
    jb close_loop
    vmmcall
far_loop:
    mov ecx, 400
.wait:
    dec ecx
    jnz .wait
    inc ebx
    pause
    cmp ebx, FEW
    jb far_loop
    vmmcall
eight:
    inc ebx
    pause
    cmp ebx, 8
    jb eight
    vmmcall

align 8
loop_at:      dq 0
svm_features: dd 0
