package fsys

import (
	"syscall"

	"golang.org/x/sys/windows"
)

var unreadable = []error{
	syscall.EIO, // of a Faulty
	windows.ERROR_CRC, windows.ERROR_READ_FAULT, windows.ERROR_SECTOR_NOT_FOUND,
	windows.ERROR_IO_DEVICE, windows.ERROR_FILE_CORRUPT, windows.ERROR_DISK_CORRUPT,
}
