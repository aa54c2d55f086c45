; VM exits caused by instructions: reason, qualification, length, instruction information.
; models: Westmere, core2duo, max
; manual: SDM 3C 25.1, 27.2.1, 27.2.4, 27.2.5
%include "guest.inc"
%include "long.inc"
%include "vmx.inc"

main:
    ENTER_LONG
    call vmx_start
    mov edi, IO_MAP
    mov ecx, 0x3000 / 4
    xor eax, eax
    rep stosd

    ; Unconditional ones
    EXPECT_EXIT 10, 0, 2, cpuid
    EXPECT_EXIT 13, 0, 2, invd
    EXPECT_EXIT 18, 0, 3, vmcall
    EXPECT_EXIT 20, 0, 3, vmlaunch
    EXPECT_EXIT 24, 0, 3, vmresume
    EXPECT_EXIT 26, 0, 3, vmxoff
    EXPECT_EXIT 19, region_pointer, ANY, vmclear [region_pointer]
    EXPECT_EXIT 21, region_pointer, ANY, vmptrld [region_pointer]
    EXPECT_EXIT 22, region_pointer, ANY, vmptrst [region_pointer]
    EXPECT_EXIT 27, region_pointer, ANY, vmxon [region_pointer]
    ; Displacement and information: [rbx + rsi*4 + 0x10]
    mov qword [g_rbx], FREE
    mov qword [g_rsi], 2
    EXPECT_EXIT 21, 0x10, 5, vmptrld [rbx + rsi * 4 + 0x10]
    EXPECT_FIELD EXIT_INSTRUCTION_INFO, 2 | 2 << 7 | 3 << 15 | 6 << 18 | 3 << 23
    EXPECT_EXIT 23, 0, 3, vmread rcx, rdx
    EXPECT_BITS eax, 0, 0
    EXPECT_EXIT 25, 0, 3, vmwrite rcx, rdx
    VMR EXIT_INSTRUCTION_INFO
    and eax, 0xF0000478
    EXPECT_EQ eax, 1 << 28 | 1 << 10 | 2 << 3 ; VMWRITE reg2 = the field
    EXPECT_EXIT 31, 0, 2, rdmsr
    EXPECT_EXIT 32, 0, 2, wrmsr

    ; With their control, and without
    EXPECT_NO_EXIT rdtsc
    EXPECT_NO_EXIT pause
    EXPECT_NO_EXIT {mov rax, dr7}
    EXPECT_NO_EXIT invlpg [FREE]
    EXPECT_NO_EXIT {in al, 0x80}
    PROC 1 << 12
    EXPECT_EXIT 16, 0, 2, rdtsc
    PROC 1 << 30
    EXPECT_EXIT 40, 0, 2, pause
    PROC 1 << 7
    EXPECT_EXIT 12, 0, 1, hlt
    PROC 1 << 9
    EXPECT_EXIT 14, FREE, 8, invlpg [FREE]
    mov qword [g_rbx], FREE
    EXPECT_EXIT 14, FREE + 0x20, 4, invlpg [rbx + 0x20]
    PROC 1 << 11
    EXPECT_EXIT 15, 0, 2, rdpmc
    PROC 1 << 10
    EXPECT_EXIT 36, ANY, 3, {mwait}
    PROC 1 << 29
    EXPECT_EXIT 39, 0, 3, {monitor}

    ; MOV DR: number 2:0, direction bit 4, register 11:8
    PROC 1 << 23
    EXPECT_EXIT 29, 7 | 0 << 4 | 2 << 8, 3, mov dr7, rdx
    EXPECT_EXIT 29, 6 | 1 << 4 | 3 << 8, 3, mov rbx, dr6
    EXPECT_EXIT 29, 0 | 0 << 4 | 9 << 8, 4, mov dr0, r9

    ; CR accesses: number 3:0, type 5:4 (0 to, 1 from, 2 CLTS, 3 LMSW), register 11:8, LMSW source 31:16
    PROC 1 << 15 | 1 << 16
    EXPECT_EXIT 28, 3 | 0 << 4 | 1 << 8, 3, mov cr3, rcx
    EXPECT_EXIT 28, 3 | 1 << 4 | 6 << 8, 3, mov rsi, cr3
    PROC 1 << 19 | 1 << 20
    EXPECT_EXIT 28, 8 | 0 << 4 | 2 << 8, ANY, mov cr8, rdx
    EXPECT_EXIT 28, 8 | 1 << 4 | 2 << 8, ANY, mov rdx, cr8
    PROC 0
    VMW CR0_GUEST_HOST_MASK, 8          ; TS
    VMW CR0_READ_SHADOW, 8
    EXPECT_EXIT 28, 2 << 4, 2, clts
    mov rax, cr0
    mov [g_rax], rax                    ; TS = 0 differs from the shadow
    EXPECT_EXIT 28, 0 | 0 << 4 | 0 << 8, 3, mov cr0, rax
    or qword [g_rax], 8                 ; equal to the shadow: no exit, TS stays what it is
    EXPECT_NO_EXIT {mov cr0, rax}
    VMR GUEST_CR0
    EXPECT_BITS eax, 8, 0
    VMW CR0_READ_SHADOW, 0
    VMW CR0_GUEST_HOST_MASK, 8 | 2 | 1
    mov qword [g_rax], 0x0B             ; LMSW: PE, MP, TS
    EXPECT_EXIT 28, 3 << 4 | 0x0B << 16, 3, lmsw ax
    VMW CR0_GUEST_HOST_MASK, 0
    ; Reading CR0 gives the shadow's bits where the host owns them
    VMW CR0_GUEST_HOST_MASK, 1 << 3
    VMW CR0_READ_SHADOW, 1 << 3
    EXPECT_NO_EXIT {mov rbx, cr0}
    EXPECT_BITS dword [g_rbx], 8, 8
    EXPECT_NO_EXIT smsw bx
    EXPECT_BITS dword [g_rbx], 8, 8
    VMW CR0_GUEST_HOST_MASK, 0
    VMW CR4_GUEST_HOST_MASK, 1 << 13    ; hide VMXE
    VMW CR4_READ_SHADOW, 0
    EXPECT_NO_EXIT {mov rbx, cr4}
    EXPECT_BITS dword [g_rbx], 1 << 13, 0
    mov rax, cr4
    mov [g_rax], rax
    EXPECT_EXIT 28, 4 | 0 << 4 | 0 << 8, 3, mov cr4, rax
    VMW CR4_GUEST_HOST_MASK, 0
    ; Bits that VMX operation fixes: #GP(0) in the guest, no exit
    mov rax, cr4
    and eax, ~(1 << 13)
    mov [g_rax], rax
    EXPECT_GUEST_FAULT 13, 0, mov cr4, rax
    ; CR3-target values
    PROC 1 << 15
    VMW CR3_TARGET_COUNT, 1
    VMW CR3_TARGET_VALUE0, PML4
    mov qword [g_rcx], PML4
    EXPECT_NO_EXIT {mov cr3, rcx}

    ; I/O: size - 1 in 2:0, direction 3, string 4, REP 5, immediate 6, port 31:16
    PROC 1 << 24
    mov qword [g_rdx], 0x1234
    EXPECT_EXIT 30, 0 | 1 << 3 | 0x1234 << 16, 1, in al, dx
    EXPECT_EXIT 30, 1 | 1 << 3 | 0x1234 << 16, 2, in ax, dx
    EXPECT_EXIT 30, 3 | 0x1234 << 16, 1, out dx, eax
    EXPECT_EXIT 30, 0 | 1 << 3 | 1 << 6 | 0x71 << 16, 2, in al, 0x71
    mov qword [g_rcx], 3
    mov qword [g_rsi], FREE
    mov qword [g_rdi], FREE + 0x100
    EXPECT_EXIT 30, 0 | 1 << 4 | 1 << 5 | 0x1234 << 16, 2, rep outsb
    EXPECT_FIELD GUEST_LINEAR_ADDRESS, FREE
    EXPECT_EXIT 30, 3 | 1 << 3 | 1 << 4 | 0x1234 << 16, 1, insd
    EXPECT_FIELD GUEST_LINEAR_ADDRESS, FREE + 0x100
    ; Bitmaps
    VMW IO_BITMAP_A, IO_MAP
    VMW IO_BITMAP_B, IO_MAP + 0x1000
    PROC 1 << 25
    EXPECT_NO_EXIT {in al, 0x80}
    mov byte [IO_MAP + 0x80 / 8], 1 << 1 ; port 81H
    EXPECT_NO_EXIT {in al, 0x80}
    EXPECT_EXIT 30, 0 | 1 << 3 | 1 << 6 | 0x81 << 16, 2, in al, 0x81
    EXPECT_EXIT 30, 1 | 1 << 3 | 1 << 6 | 0x80 << 16, 3, in ax, 0x80 ; any byte counts
    mov byte [IO_MAP + 0x1000], 1       ; port 8000H
    mov qword [g_rdx], 0x8000
    EXPECT_EXIT 30, 0 | 1 << 3 | 0x8000 << 16, 1, in al, dx
    mov qword [g_rdx], 0x7FFF
    EXPECT_NO_EXIT {in al, dx}
    mov qword [g_rdx], 0xFFFF           ; an access that wraps round the port space exits
    EXPECT_EXIT 30, 1 | 1 << 3 | 0xFFFF << 16, 2, in ax, dx

    ; MSR bitmap: low reads, high reads, low writes, high writes
    VMW MSR_BITMAP, MSR_MAP
    PROC 1 << 28
    mov qword [g_rcx], 0x174
    EXPECT_NO_EXIT rdmsr
    mov byte [MSR_MAP + 0x174 / 8], 1 << (0x174 & 7)
    EXPECT_EXIT 31, 0, 2, rdmsr
    mov qword [g_rax], 0
    mov qword [g_rdx], 0
    EXPECT_NO_EXIT wrmsr
    mov byte [MSR_MAP + 0x800 + 0x174 / 8], 1 << (0x174 & 7)
    EXPECT_NO_EXIT nop
    EXPECT_EXIT 32, 0, 2, wrmsr
    mov ecx, 0xC0000081
    mov [g_rcx], rcx
    EXPECT_NO_EXIT rdmsr
    mov byte [MSR_MAP + 0x400 + 0x81 / 8], 1 << (0x81 & 7)
    EXPECT_EXIT 31, 0, 2, rdmsr
    mov qword [g_rcx], 0x2000           ; outside both ranges
    EXPECT_EXIT 31, 0, 2, rdmsr
    mov ecx, 0x40000000
    mov [g_rcx], rcx
    EXPECT_EXIT 32, 0, 2, wrmsr

    ; Privilege comes before the exit: at CPL 3 these are #GP(0)
    PROC 1 << 7
    EXPECT_GUEST_USER 13, 0, hlt
    PROC 1 << 24
    EXPECT_GUEST_USER 13, 0, {in al, 0x80}
    EXPECT_GUEST_USER 13, 0, rdmsr
    EXPECT_GUEST_USER 13, 0, invd
    PROC 1 << 9
    EXPECT_GUEST_USER 13, 0, invlpg [0]
    ; ... but MOV DR exits before the privilege check (25.1.3)
    PROC 1 << 23
    call vm_fresh
    mov qword [guest_rip], .user_dr
    call run_guest
    EXPECT_EQ eax, 0
    EXPECT_FIELD EXIT_REASON, 29
    EXPECT_FIELD GUEST_RIP, .at_user_dr
    EXPECT_FIELD GUEST_CS_SELECTOR, CODE64U
    call vm_restore_segments
    ; ... but CPUID and VMCALL exit at any level
    mov qword [guest_rip], .user_cpuid
    call vm_fresh
    call run_guest
    EXPECT_EQ eax, 0
    EXPECT_FIELD EXIT_REASON, 10
    EXPECT_FIELD GUEST_CS_SELECTOR, CODE64U
    PASS
.user_dr:
    go_user_ .at_user_dr
.at_user_dr:
    mov rax, dr7
    FAIL
.user_cpuid:
    go_user_ .at_user
.at_user:
    cpuid
    FAIL
