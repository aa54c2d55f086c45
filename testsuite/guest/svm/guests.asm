; Guests of other modes under SVM: paged real mode, real mode with nested paging, 32-bit, task switch exits.
; models: barcelona, opteron-f, max-amd
; manual: APM2 15.5.1, 15.14.1, 15.19, 15.25
%include "guest.inc"
%include "long.inc"
%include "svm.inc"

%define PD32  (FREE + 0x30000)
%define TSS_B (FREE + 0x32000)
%define NPDPT (NPT_TABLES + 0x1000)

main:
    ENTER_LONG
    call svm_start
    mov dword [PD32], 0x87
    mov dword [PD32 + 4], 0x400087
    mov dword [INTERCEPT_1], 1 << 18 | 1 << 29 ; CPUID, task switches

    ; --- 32-bit protected mode, 32-bit paging
    call set_32
    mov qword [S_RIP], guest32
    call run_guest
    EXPECT_MEM EXITCODE, 0x72
    EXPECT_MEM S_RIP, guest32_cpuid
    EXPECT_EQ dword [g_rbx], 0x12345679
    mov ecx, 0xC0000080
    rdmsr
    EXPECT_BITS eax, 0x500, 0x500       ; the host is in 64-bit mode again

    ; --- task switches: EXITINFO1 = selector, EXITINFO2 bit 36 IRET, 38 JMP, 44 error code valid
    mov dword [gdt + FREESEL], 0x00000067 | (TSS_B & 0xFFFF) << 16
    mov dword [gdt + FREESEL + 4], 0x00008900 | (TSS_B >> 16)
    call set_32
    mov qword [S_RIP], jump_task
    call run_guest
    EXPECT_MEM EXITCODE, 0x7D
    EXPECT_MEM EXITINFO1, FREESEL
    EXPECT_BITS [EXITINFO2 + 4], 1 << 4 | 1 << 6 | 1 << 12, 1 << 6
    call set_32
    mov qword [S_RIP], call_task
    call run_guest
    EXPECT_MEM EXITCODE, 0x7D
    EXPECT_BITS [EXITINFO2 + 4], 1 << 4 | 1 << 6 | 1 << 12, 0

    ; --- paged real mode: PE = 0 with PG = 1
    call set_real
    mov qword [S_RIP], guest16 - $$
    call run_guest
    EXPECT_MEM EXITCODE, 0x72
    EXPECT_MEM S_RIP, guest16_cpuid - $$
    EXPECT_EQ word [g_rbx], BASE / 16
    EXPECT_BITS [S_CR0], 1, 0

    ; --- real mode without paging, where there is nested paging
    mov eax, 0x8000000A
    cpuid
    test edx, 1
    jz .done
    mov dword [NPT_TABLES], NPDPT | 7
    mov dword [NPT_TABLES + 4], 0
    mov dword [NPDPT], PD0 | 7
    mov qword [NP_ENABLE], 1
    mov qword [N_CR3], NPT_TABLES
    mov rax, 0x0007040600070406
    mov [S_PAT], rax
    mov byte [V_TLB], 1
    call set_real
    and dword [S_CR0], ~(1 << 31)
    mov qword [S_RIP], guest16 - $$
    call run_guest
    EXPECT_MEM EXITCODE, 0x72
    EXPECT_MEM S_RIP, guest16_cpuid - $$
    EXPECT_EQ word [g_rbx], BASE / 16
    ; ... and on into protected mode
    add qword [S_RIP], 2
    call run_guest
    EXPECT_MEM EXITCODE, 0x72
    EXPECT_BITS [S_CR0], 1, 1
    EXPECT_EQ word [S_CS], CODE32
    EXPECT_EQ word [S_CS + 2], 0xC9B
.done:
    PASS

set_32:
    call svm_fresh
    and dword [S_EFER], ~0x500
    and dword [S_CR4], ~(1 << 5)
    or dword [S_CR4], 1 << 4
    mov qword [S_CR3], PD32
    svm_segment_ S_CS, CODE32, 0xC9B, 0xFFFFFFFF, 0
    svm_segment_ S_TR, TSSSEL, 0x8B, 0x2067, TSS32
    ret
set_real:
    call set_32
    and dword [S_CR0], ~1
    svm_segment_ S_ES, BASE / 16, 0x93, 0xFFFF, BASE
    svm_segment_ S_CS, BASE / 16, 0x9B, 0xFFFF, BASE
    svm_segment_ S_SS, 0x2000, 0x93, 0xFFFF, 0x20000
    svm_segment_ S_DS, BASE / 16, 0x93, 0xFFFF, BASE
    mov qword [S_RSP], 0x8000
    ret
bits 32
guest32:
    mov ebx, 0x12345678
    db 0x43
    push ebx
    pop ebx
guest32_cpuid:
    cpuid
jump_task:
    jmp FREESEL:0
call_task:
    call FREESEL:0
bits 16
guest16:
    mov bx, cs
    push bx
    pop bx
guest16_cpuid:
    cpuid
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp dword CODE32:.flat
bits 32
.flat:
    cpuid
