; VMX operation itself: VMXON to VMXOFF, every error number of the VMCS instructions.
; models: Westmere, core2duo, max
; manual: SDM 3C 23.7, 24.11.3, 30.2-30.4
%include "guest.inc"
%include "long.inc"
%include "vmx.inc"

main:
    ENTER_LONG
    mov ecx, 0x480
    rdmsr
    and eax, 0x7FFFFFFF
    mov [vmx_revision], eax
    and edx, 0x1FFF
    cmp edx, 0x1000                     ; a region is at most 4 KiB
    EXPECT_IF be
    mov qword [region_pointer], VMXON_REGION

    ; Without CR4.VMXE
    EXPECT_FAULT 6, 0, vmxon [region_pointer]
    EXPECT_FAULT 6, 0, vmclear [region_pointer]
    EXPECT_FAULT 6, 0, vmptrld [region_pointer]
    EXPECT_FAULT 6, 0, vmread rax, rdx
    EXPECT_FAULT 6, 0, vmlaunch
    EXPECT_FAULT 6, 0, vmcall
    EXPECT_FAULT 6, 0, vmxoff
    mov rax, cr4
    or eax, 1 << 13
    mov cr4, rax
    EXPECT_FAULT 6, 0, vmclear [region_pointer] ; outside VMX operation
    EXPECT_FAULT 6, 0, vmcall
    ; IA32_FEATURE_CONTROL not locked, then locked without the enable bit is not testable after
    mov ecx, 0x3A
    rdmsr
    test al, 1
    jnz .locked
    EXPECT_FAULT 13, 0, vmxon [region_pointer]
    mov ecx, 0x3A
    xor edx, edx
    mov eax, 5
    wrmsr
.locked:
    mov ecx, 0x3A
    EXPECT_FAULT 13, 0, wrmsr           ; locked
    mov rax, cr0
    and eax, ~(1 << 5)                  ; NE = 0 is not allowed in VMX operation
    mov cr0, rax
    EXPECT_FAULT 13, 0, vmxon [region_pointer]
    or eax, 1 << 5
    mov cr0, rax
    EXPECT_USER 13, 0, vmxon [region_pointer]

    ; VMfailInvalid: revision, alignment, width of the address
    mov dword [VMXON_REGION], 0x12345
    or rax, rax
    vmxon [region_pointer]
    EXPECT_IF c
    mov eax, [vmx_revision]
    mov [VMXON_REGION], eax
    mov qword [region_pointer], VMXON_REGION + 8
    vmxon [region_pointer]
    EXPECT_IF c
    mov rax, 1 << 51
    mov [region_pointer], rax
    vmxon [region_pointer]
    EXPECT_IF c
    or dword [VMXON_REGION], 1 << 31
    mov qword [region_pointer], VMXON_REGION
    vmxon [region_pointer]
    EXPECT_IF c
    and dword [VMXON_REGION], ~(1 << 31)
    stc
    vmxon [region_pointer]
    EXPECT_IF nc
    pushfq
    pop rax
    and eax, 0x8D5
    EXPECT_EQ eax, 0                    ; VMsucceed clears all six flags

    ; Root operation, no current VMCS: VMfailInvalid
    vmxon [region_pointer]
    EXPECT_IF c
    mov edx, GUEST_RIP
    vmread rax, rdx
    EXPECT_IF c
    vmwrite rdx, rax
    EXPECT_IF c
    vmlaunch
    EXPECT_IF c
    vmresume
    EXPECT_IF c
    vmcall
    EXPECT_IF c
    vmptrst [SCRATCH]
    EXPECT_IF nc
    EXPECT_EQ dword [SCRATCH], -1
    EXPECT_EQ dword [SCRATCH + 4], -1

    ; CR0/CR4 bits fixed by VMX operation
    mov rax, cr4
    and eax, ~(1 << 13)
    EXPECT_FAULT 13, 0, mov cr4, rax
    mov rax, cr0
    and eax, ~(1 << 5)
    EXPECT_FAULT 13, 0, mov cr0, rax

    ; VMPTRLD: wrong revision, the VMXON pointer, misaligned
    mov qword [region_pointer], VMCS_REGION
    mov dword [VMCS_REGION], 0x777
    vmptrld [region_pointer]
    EXPECT_IF c                         ; no current VMCS to hold the number
    mov eax, [vmx_revision]
    mov [VMCS_REGION], eax
    mov [VMCS_OTHER], eax
    vmclear [region_pointer]
    EXPECT_IF a
    vmptrld [region_pointer]
    EXPECT_IF a
    vmptrst [SCRATCH]
    EXPECT_EQ dword [SCRATCH], VMCS_REGION
    call vmcs_init
    mov qword [region_pointer], VMXON_REGION
    vmptrld [region_pointer]
    EXPECT_VMFAIL 10
    vmclear [region_pointer]
    EXPECT_VMFAIL 3
    vmxon [region_pointer]
    EXPECT_VMFAIL 15
    mov qword [region_pointer], VMCS_OTHER + 4
    vmptrld [region_pointer]
    EXPECT_VMFAIL 9
    vmclear [region_pointer]
    EXPECT_VMFAIL 2
    mov dword [FREE + 0x14000], 0x777
    mov qword [region_pointer], FREE + 0x14000
    vmptrld [region_pointer]
    EXPECT_VMFAIL 11
    ; The VMCS is still the current one
    vmptrst [SCRATCH]
    EXPECT_EQ dword [SCRATCH], VMCS_REGION

    ; VMREAD, VMWRITE
    mov edx, 0x7FFE
    vmread rax, rdx
    EXPECT_VMFAIL 12
    mov edx, 0x7FFE
    vmwrite rdx, rax
    EXPECT_VMFAIL 12
    mov rdx, 0x1000006800               ; beyond 32 bits
    vmread rax, rdx
    EXPECT_VMFAIL 12
    mov ecx, 0x485
    rdmsr
    test eax, 1 << 29                   ; may any field be written?
    jnz .any_field
    mov edx, EXIT_REASON
    vmwrite rdx, rax
    EXPECT_VMFAIL 13
.any_field:
    mov rax, 0x1122334455667788
    mov edx, TSC_OFFSET
    vmwrite rdx, rax
    EXPECT_IF a
    mov edx, TSC_OFFSET + 1             ; high half
    vmread rax, rdx
    EXPECT_EQ eax, 0x11223344
    mov eax, 0xAABBCCDD
    vmwrite rdx, rax
    EXPECT_FIELD TSC_OFFSET, 0xAABBCCDD55667788
    mov rax, -1
    mov edx, GUEST_ES_SELECTOR          ; 16 bits are kept
    vmwrite rdx, rax
    EXPECT_FIELD GUEST_ES_SELECTOR, 0xFFFF
    mov rax, -1
    mov edx, EXCEPTION_BITMAP
    vmwrite rdx, rax
    EXPECT_FIELD EXCEPTION_BITMAP, 0xFFFFFFFF
    mov edx, GUEST_RIP
    mov qword [SCRATCH], 0x1234
    vmwrite rdx, [SCRATCH]
    EXPECT_IF a
    vmread [SCRATCH + 8], rdx
    EXPECT_EQ dword [SCRATCH + 8], 0x1234
    EXPECT_USER 13, 0, vmread rax, rdx
    EXPECT_USER 13, 0, vmxoff
    EXPECT_USER 13, 0, vmcall

    ; A VMCS keeps its content through VMCLEAR and VMPTRLD; only one is current
    mov qword [region_pointer], VMCS_OTHER
    vmclear [region_pointer]
    vmptrld [region_pointer]
    EXPECT_IF a
    VMW GUEST_RIP, 0x5678
    mov qword [region_pointer], VMCS_REGION
    vmptrld [region_pointer]
    EXPECT_FIELD GUEST_RIP, 0x1234
    vmclear [region_pointer]            ; the current one: none is current now
    vmptrst [SCRATCH]
    EXPECT_EQ dword [SCRATCH], -1
    vmptrld [region_pointer]
    EXPECT_FIELD GUEST_RIP, 0x1234

    ; Launch state
    call vmcs_init
    vmresume
    EXPECT_VMFAIL 5
    mov qword [guest_rip], vm_guest_nop
    call run_guest
    EXPECT_EQ eax, 0
    mov byte [launched], 0              ; VMLAUNCH once more
    call run_guest
    EXPECT_EQ eax, 1
    EXPECT_FIELD VM_INSTRUCTION_ERROR, 4
    vmclear [region_pointer]
    vmptrld [region_pointer]
    vmresume
    EXPECT_VMFAIL 5
    call run_guest
    EXPECT_EQ eax, 0
    vmcall                              ; root operation
    EXPECT_VMFAIL 1
    ; Entry behind MOV SS
    mov eax, DATA32
    mov ss, ax
    vmresume
    EXPECT_VMFAIL 26

    ; INVEPT, INVVPID
    mov ecx, 0x480
    rdmsr
    mov ecx, 0x482
    rdmsr
    test edx, 1 << 31
    jz .no_ept
    mov ecx, 0x48B
    rdmsr
    test edx, 1 << 1
    jz .no_ept
    mov eax, 7
    invept rax, [zero_descriptor]
    EXPECT_VMFAIL 28
    mov eax, 2
    invept rax, [zero_descriptor]
    EXPECT_IF a
    mov eax, 1
    invvpid rax, [zero_descriptor]      ; VPID 0
    EXPECT_VMFAIL 28
    mov eax, 2
    invvpid rax, [zero_descriptor]
    EXPECT_IF a
    mov eax, 4
    invvpid rax, [zero_descriptor]
    EXPECT_VMFAIL 28
    mov word [zero_descriptor], 1
    mov rax, 1 << 60
    mov [zero_descriptor + 8], rax
    mov eax, 0
    invvpid rax, [zero_descriptor]      ; not canonical
    EXPECT_VMFAIL 28
    jmp .off
.no_ept:
    EXPECT_FAULT 6, 0, {invept rax, [zero_descriptor]}
.off:
    vmxoff
    EXPECT_IF nc
    EXPECT_FAULT 6, 0, vmxoff
    mov rax, cr4
    and eax, ~(1 << 13)
    mov cr4, rax
    PASS
align 16
zero_descriptor: dq 0, 0
