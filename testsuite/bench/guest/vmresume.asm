; TRIPS times VMRESUME and exit on VMCALL, with EPT and VPID where the processor has them: what VT-x itself costs an
; emulator. The marks go to port E9H (debugcon), like those of the Linux images.
; manual: SDM 3C 26 (VM entries), 27 (VM exits), 28.2 (EPT), 28.1 (VPID)
%include "guest.inc"
%include "long.inc"
%include "vmx.inc"

begin_mark: db "BENCH vmresume begin", 10
begin_end:
end_mark:   db "BENCH vmresume end 0", 10
end_end:

main:
    ENTER_LONG
    call vmx_start
    ; one to one with write-back 2 MiB pages: the first gigabyte
    mov edi, EPT_TABLES
    mov ecx, 0x3000 / 4
    xor eax, eax
    rep stosd
    mov dword [EPT_TABLES], (EPT_TABLES + 0x1000) | 7
    mov dword [EPT_TABLES + 0x1000], (EPT_TABLES + 0x2000) | 7
    mov edi, EPT_TABLES + 0x2000
    mov eax, 0xB7
.pd:
    mov [edi], eax
    add eax, 0x200000
    add edi, 8
    cmp edi, EPT_TABLES + 0x3000
    jb .pd
    PROC 1 << 31                        ; secondary controls
    PROC2 1 << 1 | 1 << 5               ; EPT, VPID
    VMW EPT_POINTER, EPT_TABLES | 3 << 3 | 6
    VMW VPID, 1
    mov qword [guest_rip], guest
    call run_guest                      ; VMLAUNCH
    EXPECT_EQ eax, 0
    VMW HOST_RIP, exited
    mov rax, rsp
    VMW HOST_RSP, rax

    mov esi, begin_mark
    mov ecx, begin_end - begin_mark
    mov dx, 0xE9
    rep outsb
    mov ebx, TRIPS
    mov ecx, EXIT_REASON
    vmresume
    FAIL
exited:
    vmread rax, rcx
    cmp eax, 18                         ; VMCALL; RIP stays on it
    jne .bad
    dec ebx
    jz .done
    vmresume
    FAIL
.done:
    mov esi, end_mark
    mov ecx, end_end - end_mark
    mov dx, 0xE9
    rep outsb
    PASS
.bad:
    mov ebx, eax
    FAIL
guest:
    vmcall
    FAIL
