; The boot option ROM for -kernel: interprets the boot script that the host left in the fw_cfg file
; "opt/ringminus/boot" (written by platform/firmware/boot_script.cpp) and enters the kernel.
; Owns: finding the script, copying its chunks into RAM by fw_cfg DMA, asking the BIOS for the real
; memory map (INT 15h E820h), and the switch to the kernel's entry state. It knows no kernel format.
; Runs as a bootstrap entry vector of a PnP option ROM (Plug and Play BIOS Specification 1.0A, 3.2;
; BIOS Boot Specification 1.01, 3.3): real mode, called far, any stack. Assumes a 486 or newer.
; fw_cfg interface: QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device".
; Memory it uses: 7000h-7BFFh below the classic boot sector (constants below); nothing else.

        cpu     x64
        bits    16
        org     0

; --- fw_cfg ---
FW_SELECT       equ 510h
FW_DATA         equ 511h
FW_DMA_HIGH     equ 514h
FW_DMA_LOW      equ 518h
KEY_FILE_DIR    equ 19h

; --- work area, all in segment 0 ---
dma             equ 7000h       ; 16 bytes: control, length, address (big-endian)
saved_sp        equ 7010h
saved_ss        equ 7012h
gdtr            equ 7018h
script_count    equ 7020h       ; entries stored by the E820 command
consumed        equ 7024h       ; bytes of the script read so far
script_key      equ 7028h       ; the script's selector
dir_entry       equ 7080h       ; 64 bytes: size, selector, reserved, name[56]
cmd             equ 7100h       ; 64 bytes: the command being executed
e820            equ 7180h       ; 24 bytes: one memory map entry
stack_top       equ 7C00h

; --- commands; the field offsets are in boot_script.h ---
OP_LOAD         equ 1
OP_E820         equ 2
OP_ENTER32      equ 3
OP_ENTER16      equ 4
OP_RSDP         equ 5
OP_ZERO         equ 6
OP_ENTER64      equ 7
OP_SCREEN       equ 8

rom:
        db      55h, 0AAh
        db      ROM_SECTORS
        jmp     init
        times   18h-($-$$) db 0
        dw      0                       ; no PCI data structure
        dw      pnp

        align   16, db 0
pnp:    db      '$PnP'
        db      1                       ; structure revision
        db      2                       ; length / 16
        dw      0                       ; no further header
        db      0
        db      0                       ; checksum, set by embed.py
        dd      0                       ; device identifier
        dw      manufacturer
        dw      product
        db      3, 80h, 0               ; device type: memory / other
        db      0                       ; indicators
        dw      0                       ; no boot connection vector
        dw      0                       ; no disconnect vector
        dw      boot                    ; bootstrap entry vector
        dw      0
        dw      0

manufacturer:   db 'Ringminus', 0
product:        db 'Ringminus kernel loader', 0
file_name:      db 'opt/ringminus/boot', 0
FILE_NAME_LEN   equ $-file_name
magic:          db 'RMBOOT1', 0
msg_no_file:    db 'Ringminus boot ROM: fw_cfg file opt/ringminus/boot is missing', 13, 10, 0
msg_magic:      db 'Ringminus boot ROM: the boot script has the wrong magic', 13, 10, 0
msg_dma:        db 'Ringminus boot ROM: fw_cfg DMA failed', 13, 10, 0
msg_op:         db 'Ringminus boot ROM: unknown command in the boot script', 13, 10, 0

init:   xor     ax, ax
        retf

; ------------------------------------------------------------------ boot
boot:   cli
        cld
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     [saved_sp], sp
        mov     [saved_ss], ss
        mov     ss, ax
        mov     sp, stack_top
        sti
        mov     ax, 2401h               ; A20 on; SeaBIOS already did, other firmware may not
        int     15h
        mov     dword [consumed], 0
        call    select_script
        mov     si, msg_no_file
        jc      fail

        mov     edi, cmd                ; the stream starts with 8 bytes of magic
        mov     ecx, 8
        call    dma_read_low
        xor     bx, bx
.check: mov     al, [cs:magic+bx]
        cmp     al, [cmd+bx]
        mov     si, msg_magic
        jne     fail
        inc     bx
        cmp     bx, 8
        jb      .check

next_command:
        mov     edi, cmd
        mov     ecx, 64
        call    dma_read_low
        mov     eax, [cmd]
        cmp     eax, OP_LOAD
        je      op_load
        cmp     eax, OP_E820
        je      op_e820
        cmp     eax, OP_ENTER32
        je      op_enter32
        cmp     eax, OP_ENTER16
        je      op_enter16
        cmp     eax, OP_RSDP
        je      op_rsdp
        cmp     eax, OP_ZERO
        je      op_zero
        cmp     eax, OP_ENTER64
        je      op_enter64
        cmp     eax, OP_SCREEN
        je      op_screen
        mov     si, msg_op
        ; falls into fail

; si: message in this segment. Prints it and gives the boot attempt back to the BIOS.
fail:   mov     al, [cs:si]
        inc     si
        test    al, al
        jz      .back
        mov     dx, 402h
        out     dx, al
        mov     ah, 0Eh
        mov     bx, 7
        push    si
        int     10h
        pop     si
        jmp     fail
.back:  cli
        mov     ss, [saved_ss]
        mov     sp, [saved_sp]
        sti
        retf

; ------------------------------------------------------------------ fw_cfg
; Selects the script file. CF set if the directory does not name it.
select_script:
        mov     dx, FW_SELECT
        mov     ax, KEY_FILE_DIR
        out     dx, ax
        mov     di, dir_entry
        mov     cx, 4
        mov     dx, FW_DATA
        rep     insb
        mov     ebp, [dir_entry]
        bswap   ebp                     ; number of files
.next:  test    ebp, ebp
        jz      .none
        dec     ebp
        mov     di, dir_entry
        mov     cx, 64
        mov     dx, FW_DATA
        rep     insb
        mov     si, file_name
        mov     di, dir_entry+8
        mov     cx, FILE_NAME_LEN
.cmp:   mov     al, [cs:si]
        cmp     al, [di]
        jne     .next
        inc     si
        inc     di
        loop    .cmp
        mov     ax, [dir_entry+4]
        xchg    al, ah
        mov     [script_key], ax
        mov     dx, FW_SELECT
        out     dx, ax
        clc
        ret
.none:  stc
        ret

; Reads ecx bytes of the selected item to the address edi (below 4 GiB).
dma_read_low:
        xor     edx, edx
; Reads ecx bytes to edx:edi. Does not return if the device reports an error.
dma_read:
        add     [consumed], ecx
        mov     eax, 02000000h          ; control: read
; eax: control word as it lies in memory
dma_run:
        bswap   edx
        bswap   edi
        bswap   ecx
        mov     [dma], eax
        mov     [dma+4], ecx
        mov     [dma+8], edx
        mov     [dma+12], edi
        xor     eax, eax
        mov     dx, FW_DMA_HIGH
        out     dx, eax
        mov     eax, dma
        bswap   eax
        mov     dx, FW_DMA_LOW
        out     dx, eax
.wait:  mov     eax, [dma]
        test    eax, 01000000h          ; error
        jnz     .error
        test    eax, eax
        jnz     .wait
        ret
.error: mov     si, msg_dma
        jmp     fail

; ------------------------------------------------------------------ commands
op_load:
        mov     ecx, [cmd+4]
        mov     edi, [cmd+8]
        mov     edx, [cmd+12]
        call    dma_read
        jmp     next_command

; Zeros come from an item that does not exist; then the script is found again where it was left.
op_zero:
        mov     ecx, [cmd+4]
        mov     edi, [cmd+8]
        mov     dx, FW_SELECT
        mov     ax, -1 & ~4000h
        out     dx, ax
        mov     edx, [cmd+12]
        mov     eax, 02000000h
        call    dma_run
        mov     ax, [script_key]
        mov     dx, FW_SELECT
        out     dx, ax
        mov     ecx, [consumed]
        xor     edx, edx
        xor     edi, edi
        mov     eax, 04000000h          ; control: skip
        call    dma_run
        jmp     next_command

; eax: an address below 1 MiB -> es:di
far_pointer:
        mov     di, ax
        and     di, 0Fh
        shr     eax, 4
        mov     es, ax
        ret

; [eax] = ecx, unless eax is 0. Changes eax, di, es.
poke:   test    eax, eax
        jz      .ret
        call    far_pointer
        mov     [es:di], ecx
.ret:   ret

op_e820:
        mov     dword [script_count], 0
        xor     ebx, ebx
.next:  mov     eax, [script_count]
        cmp     eax, [cmd+16]           ; room for one more?
        jae     .done
        xor     ax, ax
        mov     es, ax
        mov     di, e820
        mov     dword [e820+20], 0
        mov     ecx, 20
        mov     edx, 534D4150h          ; 'SMAP'
        mov     eax, 0E820h
        int     15h
        jc      .done
        cmp     eax, 534D4150h
        jne     .done
        push    ebx
        call    note_sizes
        mov     eax, [cmd+8]
        call    far_pointer
        call    store_entry
        mov     eax, es                 ; the next place = es:di
        shl     eax, 4
        movzx   edi, di
        add     eax, edi
        mov     [cmd+8], eax
        inc     dword [script_count]
        pop     ebx
        test    ebx, ebx
        jnz     .next
.done:  cmp     dword [cmd+4], 3        ; Linux: its table has no end mark
        je      .count
        mov     eax, [cmd+8]            ; multiboot 2 end tag; multiboot 1 has room for it too
        call    far_pointer
        mov     dword [es:di], 0
        mov     dword [es:di+4], 8
.count: mov     eax, [cmd+20]
        mov     ecx, [script_count]
        call    poke
        imul    ebx, [script_count], 24
        mov     eax, [cmd+24]
        mov     ecx, [cmd+28]
        add     ecx, ebx
        call    poke
        mov     eax, [cmd+32]
        mov     ecx, [cmd+36]
        add     ecx, ebx
        call    poke
        jmp     next_command

; Stores the entry at es:di in the wanted form, advances di.
store_entry:
        cmp     dword [cmd+4], 1
        jne     .plain
        mov     eax, 20                 ; multiboot 1: the size of the rest comes first
        stosd
        mov     si, e820
        mov     cx, 5
        rep     movsd
        ret
.plain: mov     si, e820                ; multiboot 2 and PVH: type, then a zero dword
        mov     cx, 6
        cmp     dword [cmd+4], 3
        jne     .copy
        dec     cx                      ; Linux: no zero dword
.copy:  rep     movsd
        ret

; Multiboot's mem_lower and mem_upper, in KiB, from the RAM entries at 0 and 1 MiB.
note_sizes:
        cmp     dword [e820+16], 1
        jne     .ret
        cmp     dword [e820+4], 0
        jne     .ret
        mov     ecx, [e820+8]
        shr     ecx, 10
        mov     eax, [cmd+40]
        cmp     dword [e820], 0
        je      poke
        mov     eax, [cmd+44]
        cmp     dword [e820], 100000h
        je      poke
.ret:   ret

; [cmd+4] = address of the 8 bytes that take the ACPI root pointer's address (ACPI 6.4, 5.2.5.1)
op_rsdp:
        mov     bx, 0E000h
.next:  mov     es, bx
        cmp     dword [es:0], 'RSD '
        jne     .skip
        cmp     dword [es:4], 'PTR '
        je      .found
.skip:  inc     bx
        jnz     .next                   ; past FFFFh
        jmp     next_command
.found: movzx   ecx, bx
        shl     ecx, 4
        mov     eax, [cmd+4]
        call    poke
        jmp     next_command

; [cmd+4] = address of a screen_info (Linux include/uapi/linux/screen_info.h), filled with zeros.
; Without a VGA BIOS it stays so: no text screen.
op_screen:
        mov     ax, 1A00h               ; display combination: a VGA BIOS answers 1Ah
        int     10h
        cmp     al, 1Ah
        jne     next_command
        mov     eax, [cmd+4]
        call    far_pointer
        mov     ah, 0Fh                 ; al: mode, ah: columns, bh: page
        int     10h
        mov     [es:di+6], ax
        mov     [es:di+4], bh
        mov     ah, 3                   ; dh: row, dl: column
        int     10h
        mov     [es:di], dx
        mov     ah, 12h                 ; bh: colour, bl: memory of the adapter
        mov     bl, 10h
        int     10h
        mov     [es:di+0Ah], bx
        mov     al, [484h]              ; BIOS data: rows - 1
        inc     ax
        mov     [es:di+0Eh], al
        mov     byte [es:di+0Fh], 1     ; VGA
        mov     ax, [485h]              ; height of a character
        mov     [es:di+10h], ax
        jmp     next_command

; Linux' real-mode entry (Documentation/x86/boot.rst, "Running the kernel").
op_enter16:
        cli
        mov     eax, [cmd+4]            ; ip | cs << 16
        mov     bx, [cmd+12]
        mov     ss, [cmd+8]
        mov     sp, [cmd+10]
        push    eax
        mov     ds, bx
        mov     es, bx
        mov     fs, bx
        mov     gs, bx
        retf

; 32-bit protected mode, flat segments, paging off (Multiboot 3.2, PVH boot ABI).
op_enter32:
        cli
        mov     ax, cs
        movzx   eax, ax
        shl     eax, 4
        mov     ebx, eax
        add     eax, gdt
        mov     word [gdtr], gdt_end-gdt-1
        mov     [gdtr+2], eax
        o32 lgdt [gdtr]
        add     ebx, flat
        mov     eax, cr0
        or      al, 1
        mov     cr0, eax
        push    dword 8
        push    ebx
        o32 retf

        bits    32
flat:   mov     ax, 10h
        mov     ds, ax
        mov     es, ax
        mov     fs, ax
        mov     gs, ax
        mov     ss, ax
        mov     eax, [cmd+8]
        mov     ebx, [cmd+12]
        mov     ecx, [cmd+16]
        mov     edx, [cmd+20]
        mov     esi, [cmd+24]
        mov     edi, [cmd+28]
        mov     ebp, [cmd+32]
        mov     esp, [cmd+36]
        jmp     dword [cmd+4]

; 64-bit mode (Documentation/x86/boot.rst, "64-bit Boot Protocol"): paging and long mode in one step
; (SDM 3A 9.8.5 without its way through protected mode, which real mode does not need).
        bits    16
op_enter64:
        cli
        mov     ax, cs
        movzx   eax, ax
        shl     eax, 4
        lea     ebx, [eax+entered64]
        add     eax, gdt64
        mov     word [gdtr], gdt64_end-gdt64-1
        mov     [gdtr+2], eax
        o32 lgdt [gdtr]
        mov     eax, cr4
        or      eax, 1 << 5             ; PAE
        mov     cr4, eax
        mov     eax, [cmd+12]
        mov     cr3, eax
        mov     ecx, 0C0000080h         ; EFER
        rdmsr
        or      eax, 1 << 8             ; LME
        wrmsr
        mov     esi, [cmd+8]
        mov     edi, [cmd+4]
        push    dword 10h
        push    ebx
        mov     eax, cr0
        or      eax, 1 << 31 | 1        ; PG, PE
        mov     cr0, eax
        o32 retf

        bits    64
entered64:
        mov     eax, 18h
        mov     ds, ax
        mov     es, ax
        mov     fs, ax
        mov     gs, ax
        mov     ss, ax
        mov     esp, stack_top
        jmp     rdi

        align   8, db 0
; Accessed bits are set beforehand: the ROM is write-protected.
gdt:    dq      0
        dq      00CF9B000000FFFFh       ; 08: code, base 0, limit 4 GiB
        dq      00CF93000000FFFFh       ; 10: data, base 0, limit 4 GiB
gdt_end:
gdt64:  dq      0, 0
        dq      00AF9B000000FFFFh       ; 10: code, 64 bits
        dq      00CF93000000FFFFh       ; 18: data
gdt64_end:

        db      0                       ; the image's checksum byte is the last one
        align   512, db 0
ROM_SECTORS equ ($-$$)/512
