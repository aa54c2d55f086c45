; 4-level paging: NX, reserved bits, 2 MiB and 1 GiB pages, canonical addresses, SMEP, SMAP, PCID.
; models: Westmere, barcelona, max, opteron-f
; manual: SDM 3A 4.5, 4.6, 4.7, 4.10; 3.3.7.1
%include "guest.inc"
%include "long.inc"

%define PT  PT_FREE
%define VA  0x3F000000                  ; 2 MiB slot 1F8H of the first directory
%define PDE (PD0 + (VA >> 21) * 8)
%define PA  (FREE + 0x40000)

%macro MAP 2                            ; high dword, low flags
    mov dword [PT], PA | (%2)
    mov dword [PT + 4], %1
    invlpg [VA]
%endmacro

main:
    ENTER_LONG
    mov dword [PDE], PT | 7
    mov dword [PDE + 4], 0
    invlpg [VA]
    mov byte [PA], 0xC3                 ; RET

    EXPECT_FAULT 14, 0, {mov eax, [VA]}
    EXPECT_USER 14, 6, {mov [VA], eax}
    MAP 0, 7
    mov eax, VA
    call rax
    ; Bit 63 without EFER.NXE is reserved
    MAP 0x80000000, 7
    EXPECT_FAULT 14, 9, {mov eax, [VA]}
    ; With NXE: I/D in the error code
    mov ecx, 0xC0000080
    rdmsr
    or eax, 1 << 11
    wrmsr
    MAP 0x80000000, 7
    mov eax, [VA]
    CATCH .nx
    mov eax, VA
    jmp rax
.nx:
    EXPECT_EXC 14, 0x11, VA
    CATCH .nx_user
    go_user_ VA
.nx_user:
    EXPECT_EXC 14, 0x15, VA
    MAP 0, 0
    CATCH .np_fetch
    mov eax, VA
    jmp rax
.np_fetch:
    EXPECT_EXC 14, 0x10, VA
    MAP 0, 3
    CATCH .user_fetch
    go_user_ VA
.user_fetch:
    EXPECT_EXC 14, 0x15, VA
    ; NX in an upper level
    MAP 0, 7
    mov dword [PDE + 4], 0x80000000
    invlpg [VA]
    CATCH .nx_pde
    mov eax, VA
    jmp rax
.nx_pde:
    EXPECT_EXC 14, 0x11, VA
    mov dword [PDE + 4], 0
    invlpg [VA]
    ; Physical address bits beyond the width are reserved
    MAP 1 << 19, 7                      ; bit 51
    EXPECT_FAULT 14, 9, {mov eax, [VA]}
    EXPECT_FAULT 14, 0xB, {mov [VA], eax}
    MAP 0, 7
    ; 2 MiB page: bits 20:13 reserved
    mov dword [PDE], 0x87 | 1 << 13
    invlpg [VA]
    EXPECT_FAULT 14, 9, {mov eax, [VA]}
    mov dword [PDE], 0x87
    invlpg [VA]
    mov eax, [VA + gdt + 8]
    EXPECT_EQ eax, [gdt + 8]
    mov [VA + gdt + 8], eax
    EXPECT_BITS [PDE], 0x60, 0x60
    mov dword [PDE], PT | 7
    invlpg [VA]
    ; A PML4 entry's PS bit is reserved
    mov dword [PML4 + 8], PDPT | 0x87
    mov rbx, 1 << 39
    EXPECT_FAULT 14, 9, {mov eax, [rbx]}
    mov dword [PML4 + 8], 0
    ; 1 GiB pages where the model has them
    mov eax, 0x80000001
    cpuid
    test edx, 1 << 26
    jz .no_1g
    mov dword [PDPT + 8], 0x87
    mov ebx, PA
    add ebx, 1 << 30
    mov ecx, [rbx]
    EXPECT_EQ ecx, [PA]
    mov [rbx], ecx
    EXPECT_BITS [PDPT + 8], 0x60, 0x60
    mov dword [PDPT + 8], 0x87 | 1 << 13
    invlpg [rbx]
    EXPECT_FAULT 14, 9, {mov ecx, [rbx]}
    jmp .after_1g
.no_1g:
    mov dword [PDPT + 8], 0x87
    mov eax, 1 << 30
    EXPECT_FAULT 14, 9, {mov ecx, [rax]}
.after_1g:
    mov dword [PDPT + 8], 0

    ; Canonical addresses: #GP(0), #SS(0) with the stack; CR2 is not touched
    mov rbx, 0x0000800000000000
    EXPECT_FAULT 13, 0, {mov eax, [rbx]}
    EXPECT_FAULT 13, 0, {mov [rbx - 4], rax} ; its last byte is not canonical
    mov rbx, 0xFFFF7FFFFFFFFFF8
    EXPECT_FAULT 13, 0, {mov rax, [rbx + 4]}
    mov byte [IDT64 + 12 * 16 + 4], 1   ; #SS on a good stack: IST1
    mov rcx, rsp
    mov rsp, 0x0000800000000010
    mov dword [catch_ip], .ss
    mov [catch_sp], rcx
    push rax
    pop rax
    FAIL
.ss:
    EXPECT_EXC 12, 0, 0
    EXPECT_EQ dword [exc_frame], IST1 - 40
    mov rbp, 0x0000900000000000
    EXPECT_FAULT 12, 0, {mov eax, [rbp]}
    mov rbx, 0x0000800000000000
    EXPECT_FAULT 13, 0, jmp rbx
    EXPECT_FAULT 13, 0, call rbx
    mov rax, rsp
    push rbx
    EXPECT_FAULT 13, 0, ret
    mov rsp, rax
    invlpg [rbx]                        ; a NOP with a non-canonical address
    mov ecx, 0xC0000100
    mov edx, 0x8000
    xor eax, eax
    EXPECT_FAULT 13, 0, wrmsr
    ; High canonical half works
    mov rbx, 0xFFFFFF8000000000 + PA
    mov eax, [rbx]
    EXPECT_EQ eax, [PA]

    ; SMEP and SMAP: first the program's own pages become supervisor pages
    xor eax, eax
    cpuid
    cmp eax, 7
    jb .no_leaf7
    mov eax, 7
    xor ecx, ecx
    cpuid
    mov r12d, ebx
    mov dword [PD0], 0x83
    mov dword [PD0 + 8], 0x200083
    mov rax, cr3
    mov cr3, rax
    MAP 0, 7
    test r12d, 1 << 7
    jz .smap
    mov rax, cr4
    or eax, 1 << 20
    mov cr4, rax
    CATCH .smep
    mov eax, VA
    jmp rax
.smep:
    EXPECT_EXC 14, 0x11, VA
    mov eax, [VA]                       ; data is not concerned
    MAP 0, 3
    mov eax, VA
    call rax
.smap:
    test r12d, 1 << 20
    jz .pcid
    MAP 0, 7
    mov rax, cr4
    or eax, 1 << 21
    mov cr4, rax
    clac
    EXPECT_FAULT 14, 1, {mov eax, [VA]}
    EXPECT_FAULT 14, 3, {mov [VA], eax}
    stac
    mov eax, [VA]
    mov [VA], eax
    clac
    mov esi, VA
    EXPECT_FAULT 14, 1, lodsb
    MAP 0, 3
    mov eax, [VA]
    mov rax, cr4
    and eax, ~(1 << 21 | 1 << 20)
    mov cr4, rax
.pcid:
    mov eax, 1
    cpuid
    test ecx, 1 << 17
    jz .done
    MAP 0, 7
    mov rax, cr4
    or eax, 1 << 17
    mov cr4, rax
    mov rax, cr3
    or eax, 5
    mov cr3, rax                        ; PCID 5
    mov eax, [VA]
    mov dword [PT], 0
    mov rax, cr3
    and eax, ~0xFFF
    or eax, 6
    mov cr3, rax                        ; PCID 6: its own translations
    EXPECT_FAULT 14, 0, {mov eax, [VA]}
    mov rax, cr3
    xor eax, 5 ^ 6
    bts rax, 63
    mov cr3, rax                        ; back to 5 without a flush: still mapped
    mov eax, [VA]
    mov rax, cr3
    mov cr3, rax                        ; bit 63 clear: PCID 5 is flushed
    EXPECT_FAULT 14, 0, {mov eax, [VA]}
    test r12d, 1 << 10
    jz .pcid_off
    MAP 0, 7
    mov eax, [VA]
    mov dword [PT], 0
    mov qword [descriptor], 5
    mov qword [descriptor + 8], VA
    xor eax, eax
    invpcid rax, [descriptor]           ; one address of one PCID
    EXPECT_FAULT 14, 0, {mov eax, [VA]}
    MAP 0, 7
    mov eax, [VA]
    mov dword [PT], 0
    mov eax, 3
    invpcid rax, [descriptor]           ; everything but global pages
    EXPECT_FAULT 14, 0, {mov eax, [VA]}
    mov eax, 4
    EXPECT_FAULT 13, 0, {invpcid rax, [descriptor]}
.pcid_off:
    mov rax, cr3
    and eax, ~0xFFF
    mov cr3, rax
    mov rax, cr4
    and eax, ~(1 << 17)
    mov cr4, rax
    jmp .done
.no_leaf7:
    mov rax, cr4
    or eax, 1 << 20
    EXPECT_FAULT 13, 0, mov cr4, rax
.done:
    PASS
align 16
descriptor: dq 0, 0
