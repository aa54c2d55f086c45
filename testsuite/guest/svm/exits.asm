; #VMEXIT caused by instructions: codes, EXITINFO, priorities; VMRUN's consistency checks.
; models: barcelona, opteron-f, max-amd
; manual: APM2 15.5, 15.7-15.12; appendix C
%include "guest.inc"
%include "long.inc"
%include "svm.inc"

main:
    ENTER_LONG
    ; Without EFER.SVME every SVM instruction is #UD
    mov eax, VMCB
    EXPECT_FAULT 6, 0, vmrun
    EXPECT_FAULT 6, 0, vmload
    EXPECT_FAULT 6, 0, vmsave
    EXPECT_FAULT 6, 0, clgi
    EXPECT_FAULT 6, 0, stgi
    EXPECT_FAULT 6, 0, vmmcall
    EXPECT_FAULT 6, 0, invlpga
    call svm_start
    EXPECT_FAULT 6, 0, vmmcall          ; not intercepted
    mov eax, VMCB
    EXPECT_USER 13, 0, vmrun
    EXPECT_USER 13, 0, clgi
    mov eax, VMCB + 8
    EXPECT_FAULT 13, 0, vmrun
    mov rax, 1 << 51
    EXPECT_FAULT 13, 0, vmsave

    ; --- VMRUN's checks (15.5.1)
    mov dword [V_ASID], 0
    EXPECT_INVALID
    mov dword [V_ASID], 1
    mov dword [INTERCEPT_2], 2          ; VMRUN intercept clear
    EXPECT_INVALID
    mov dword [INTERCEPT_2], 3
    call svm_fresh
    and dword [S_EFER], ~(1 << 12)
    EXPECT_INVALID
    or dword [S_EFER], 1 << 1           ; reserved
    EXPECT_INVALID
    or dword [S_CR0], 1 << 29           ; NW without CD
    EXPECT_INVALID
    mov dword [S_CR0 + 4], 1
    EXPECT_INVALID
    or dword [S_CR4], 1 << 31
    EXPECT_INVALID
    mov dword [S_DR7 + 4], 1
    EXPECT_INVALID
    mov dword [S_DR6 + 4], 1
    EXPECT_INVALID
    and dword [S_CR4], ~(1 << 5)        ; LME and PG without PAE
    EXPECT_INVALID
    and dword [S_CR0], ~1               ; LME and PG without PE
    EXPECT_INVALID
    mov word [S_CS + 2], 0xE9B          ; L and D
    EXPECT_INVALID
    mov dword [EVENTINJ], 1 << 31 | 1 << 8 ; reserved type
    EXPECT_INVALID
    mov dword [EVENTINJ], 1 << 31 | 3 << 8 | 2 ; exception with vector 2
    EXPECT_INVALID

    ; --- VMMCALL, unconditional with its intercept
    EXPECT_EXIT 0x81, 0, 0, vmmcall
    EXPECT_EXIT 0x80, 0, 0, vmrun
    mov dword [INTERCEPT_2], 0x3FFF & ~(1 << 11 | 1 << 12)
    EXPECT_EXIT 0x82, 0, 0, vmload
    EXPECT_EXIT 0x83, 0, 0, vmsave
    EXPECT_EXIT 0x84, 0, 0, stgi
    EXPECT_EXIT 0x85, 0, 0, clgi
    EXPECT_EXIT 0x89, 0, 0, wbinvd
    EXPECT_EXIT 0x88, ANY, ANY, {db 0xF1}
    mov dword [INTERCEPT_2], 3

    ; --- general 1
    EXPECT_NO_EXIT cpuid
    mov dword [INTERCEPT_1], 1 << 18
    EXPECT_EXIT 0x72, 0, 0, cpuid
    mov dword [INTERCEPT_1], 1 << 14
    EXPECT_EXIT 0x6E, 0, 0, rdtsc
    mov dword [INTERCEPT_1], 1 << 15
    mov qword [g_rcx], 0
    EXPECT_EXIT 0x6F, 0, 0, rdpmc
    mov dword [INTERCEPT_1], 1 << 16 | 1 << 17
    EXPECT_EXIT 0x70, 0, 0, pushfq
    EXPECT_EXIT 0x71, 0, 0, popfq
    mov dword [INTERCEPT_1], 1 << 20
    EXPECT_EXIT 0x74, 0, 0, iretq
    mov dword [INTERCEPT_1], 1 << 21
    EXPECT_EXIT 0x75, ANY, 0, int 0x30
    mov dword [INTERCEPT_1], 1 << 22
    EXPECT_EXIT 0x76, 0, 0, invd
    mov dword [INTERCEPT_1], 1 << 23
    EXPECT_EXIT 0x77, 0, 0, pause
    mov dword [INTERCEPT_1], 1 << 24
    EXPECT_EXIT 0x78, 0, 0, hlt
    mov dword [INTERCEPT_1], 1 << 25
    EXPECT_EXIT 0x79, ANY, 0, invlpg [FREE]
    mov dword [INTERCEPT_1], 1 << 26
    EXPECT_EXIT 0x7A, 0, 0, invlpga
    mov dword [INTERCEPT_1], 0xFF << 6
    EXPECT_EXIT 0x66, 0, 0, sidt [SCRATCH]
    EXPECT_EXIT 0x67, 0, 0, sgdt [SCRATCH]
    EXPECT_EXIT 0x68, 0, 0, sldt ax
    EXPECT_EXIT 0x69, 0, 0, str ax
    EXPECT_EXIT 0x6A, 0, 0, lidt [idtr64]
    EXPECT_EXIT 0x6B, 0, 0, lgdt [gdtr]
    mov qword [S_RAX], 0
    EXPECT_EXIT 0x6C, 0, 0, lldt ax
    EXPECT_EXIT 0x6D, 0, 0, ltr ax
    mov dword [INTERCEPT_1], 0

    ; --- CR and DR
    mov dword [INTERCEPT_CR], 1 << 0 | 1 << 3 | 1 << (16 + 3) | 1 << (16 + 0) | 1 << (16 + 4)
    EXPECT_EXIT 0x00, ANY, 0, mov rbx, cr0
    EXPECT_EXIT 0x03, ANY, 0, mov rbx, cr3
    mov rax, cr3
    mov [g_rbx], rax
    EXPECT_EXIT 0x13, ANY, 0, mov cr3, rbx
    mov rax, cr4
    mov [g_rbx], rax
    EXPECT_EXIT 0x14, ANY, 0, mov cr4, rbx
    mov rax, cr0
    mov [g_rbx], rax
    EXPECT_EXIT 0x10, ANY, 0, mov cr0, rbx
    EXPECT_EXIT 0x10, ANY, 0, clts
    EXPECT_EXIT 0x10, ANY, 0, lmsw bx
    mov dword [INTERCEPT_CR], 0
    mov dword [INTERCEPT_1], 1 << 5     ; selective CR0 writes: not for TS and MP
    mov rax, cr0
    or eax, 8
    mov [g_rbx], rax
    EXPECT_NO_EXIT {mov cr0, rbx}
    mov rax, cr0
    xor eax, 1 << 18                    ; AM
    mov [g_rbx], rax
    EXPECT_EXIT 0x65, ANY, 0, mov cr0, rbx
    mov dword [INTERCEPT_1], 0
    mov dword [INTERCEPT_CR], 1 << 8 | 1 << (16 + 8)
    EXPECT_EXIT 0x08, ANY, 0, mov rbx, cr8
    mov qword [g_rbx], 0
    EXPECT_EXIT 0x18, ANY, 0, mov cr8, rbx
    mov dword [INTERCEPT_CR], 0
    mov dword [INTERCEPT_DR], 1 << 7 | 1 << (16 + 2)
    EXPECT_EXIT 0x27, ANY, 0, mov rbx, dr7
    EXPECT_EXIT 0x32, ANY, 0, mov dr2, rbx
    EXPECT_NO_EXIT {mov dr0, rbx}
    mov dword [INTERCEPT_DR], 0

    ; --- I/O: type 0, string 2, REP 3, size 6:4, address size 9:7, port 31:16; EXITINFO2 = next RIP
    mov dword [INTERCEPT_1], 1 << 27
    mov byte [IOPM + 0x80 / 8], 1 << 1  ; port 81H
    EXPECT_NO_EXIT {in al, 0x80}
    EXPECT_EXIT_NEXT 0x7B, 0x81 << 16 | 1 << 4 | 1, in al, 0x81
    EXPECT_EXIT_NEXT 0x7B, 0x80 << 16 | 1 << 5 | 1, in ax, 0x80
    EXPECT_EXIT_NEXT 0x7B, 0x81 << 16 | 1 << 6, out 0x81, eax
    mov qword [g_rdx], 0x81
    mov qword [g_rcx], 3
    mov qword [g_rsi], FREE
    mov qword [g_rdi], FREE
    call svm_fresh
    mov qword [S_RIP], .outs
    call run_guest
    EXPECT_MEM EXITCODE, 0x7B
    EXPECT_BITS [EXITINFO1], 0xFFFF03FD, 0x81 << 16 | 1 << 9 | 1 << 4 | 1 << 3 | 1 << 2
    EXPECT_MEM EXITINFO2, .outs_next
    mov dword [INTERCEPT_1], 0

    ; --- MSRs
    mov dword [INTERCEPT_1], 1 << 28
    mov qword [g_rcx], 0x174
    EXPECT_NO_EXIT rdmsr
    mov byte [MSRPM + 0x174 / 4], 3     ; two bits an MSR: read, write
    EXPECT_EXIT 0x7C, 0, ANY, rdmsr
    EXPECT_EXIT 0x7C, 1, ANY, wrmsr
    mov ecx, 0xC0000081
    mov [g_rcx], rcx
    EXPECT_NO_EXIT rdmsr
    mov byte [MSRPM + 0x800 + 0x81 / 4], 2 << 2
    EXPECT_NO_EXIT rdmsr
    EXPECT_EXIT 0x7C, 1, ANY, wrmsr
    mov ecx, 0x40000000                 ; outside the map: always
    mov [g_rcx], rcx
    EXPECT_EXIT 0x7C, 0, ANY, rdmsr
    mov dword [INTERCEPT_1], 0

    ; --- privilege first
    mov dword [INTERCEPT_1], 1 << 24 | 1 << 28 | 1 << 22
    EXPECT_GUEST_USER 13, 0, hlt
    EXPECT_GUEST_USER 13, 0, rdmsr
    EXPECT_GUEST_USER 13, 0, invd
    mov dword [INTERCEPT_1], 0

    ; --- exceptions
    mov dword [INTERCEPT_EXC], -1 & ~(1 << 2)
    EXPECT_EXIT 0x46, 0, 0, ud2
    mov qword [g_rbx], 0x7FFFF000
    EXPECT_EXIT 0x4E, 2, 0x7FFFF000, mov [rbx], eax
    mov qword [g_rcx], 0
    EXPECT_EXIT 0x40, 0, 0, div ecx
    mov qword [S_RAX], 0x200
    EXPECT_EXIT 0x4D, 0x200, 0, mov ds, ax
    call svm_fresh
    mov qword [S_RIP], .bp
    call run_guest
    EXPECT_MEM EXITCODE, 0x43
    mov dword [INTERCEPT_EXC], 0
    EXPECT_GUEST_FAULT 6, 0, ud2
    ; EXITINTINFO: the event that was being delivered
    mov dword [INTERCEPT_EXC], 1 << 13
    mov byte [IDT64 + 6 * 16 + 5], 0
    EXPECT_EXIT 0x4D, 6 * 8 + 2 + 1, 0, ud2
    EXPECT_MEM EXITINTINFO, 1 << 31 | 3 << 8 | 6
    mov byte [IDT64 + 6 * 16 + 5], 0x8E
    mov dword [INTERCEPT_EXC], 0
    ; shutdown
    mov byte [IDT64 + 6 * 16 + 5], 0
    mov byte [IDT64 + 13 * 16 + 5], 0
    mov byte [IDT64 + 8 * 16 + 5], 0
    mov dword [INTERCEPT_1], 1 << 31
    call svm_fresh
    mov qword [S_RIP], .ud
    call run_guest
    EXPECT_MEM EXITCODE, 0x7F
    PASS
.outs:
    rep outsb
.outs_next:
    vmmcall
.bp:
    int3
    vmmcall
.ud:
    ud2
