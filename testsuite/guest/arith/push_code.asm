; A CALL whose push writes over the first instruction of what it calls: the instruction is there before the branch, so
; the target must run as written (SDM 3A 11.6). Which operation it is depends on the caller's address.
; models: Westmere, barcelona
; manual: SDM 3A 11.6 (self-modifying code)
%include "guest.inc"
%include "long.inc"

%define ROUNDS 300
%define TARGET (FREE + 0x800)
; Return addresses whose low byte is the ModRM of ADD, SUB and XOR EBX, imm32 (81H); the imm32 is the rest of them.
%define ADD_SITE (FREE + 0x0C3)
%define SUB_SITE (FREE + 0x1EB)
%define XOR_SITE (FREE + 0x2F3)

; CALL RDX that returns to %1, then JMP RSI
%macro WRITE_SITE 1
    mov word [%1 - 2], 0xD2FF
    mov word [%1], 0xE6FF
%endmacro
; Through the site: the push fills TARGET + 1 to TARGET + 8.
%macro THROUGH 1
    lea rsi, [%%back]
    mov rsp, TARGET + 9
    mov rdx, TARGET
    mov rcx, %1 - 2
    jmp rcx
%%back:
%endmacro

main:
    ENTER_LONG
    mov r8, rsp
    WRITE_SITE ADD_SITE
    WRITE_SITE SUB_SITE
    WRITE_SITE XOR_SITE
    mov byte [TARGET], 0x81             ; then ModRM and imm32, 00 00: ADD [RAX], AL
    mov word [TARGET + 9], 0xC3C9       ; 00 C9: ADD CL, CL; RET
    mov eax, SCRATCH
    mov ebp, ROUNDS
.round:
    mov ebx, ebp
    THROUGH ADD_SITE
    lea edi, [rbp + (ADD_SITE >> 8)]
    EXPECT_EQ ebx, edi
    THROUGH SUB_SITE
    sub edi, SUB_SITE >> 8
    EXPECT_EQ ebx, edi
    test ebp, 3
    jnz .next                           ; other orders, too
    THROUGH XOR_SITE
    xor edi, XOR_SITE >> 8
    EXPECT_EQ ebx, edi
    THROUGH XOR_SITE
    xor edi, XOR_SITE >> 8
    EXPECT_EQ ebx, edi
.next:
    dec ebp
    jnz .round
    mov rsp, r8
    PASS
