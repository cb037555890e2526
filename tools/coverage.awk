# Prints the coverage by statements of each package in a profile that go test
# -coverpkg made, in which each test binary lists all blocks once more. The exit
# status is 1 if a package is under min percent, or there is none.
#
#	awk -v min=95 -f tools/coverage.awk cover.out

FNR > 1 {
	size[$1] = $2
	if ($3 > 0) hit[$1] = 1
}

END {
	for (block in size) {
		package = block
		sub(/\/[^\/]*$/, "", package)
		all[package] += size[block]
		if (block in hit) covered[package] += size[block]
	}
	status = 1
	for (package in all) {
		percent = 100 * covered[package] / all[package]
		printf "%5.1f%% of %4d statements  %s\n", percent, all[package], package
		if (percent < min) low = low " " package
		status = 0
	}
	if (low != "") {
		print "less than " min "% of the statements are covered in" low > "/dev/stderr"
		status = 1
	}
	exit status
}
