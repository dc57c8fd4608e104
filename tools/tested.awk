# Filters what go test -v prints: of what passes only what tests say of themselves; at the end, what took longest.
/^(=== (RUN|PAUSE|CONT|NAME) |PASS$|\?|[ \t]*--- (PASS|SKIP):)/ { next }
/^(ok|FAIL)[ \t].*[0-9]s$/ { took[++packages] = sprintf("%9.1f s  %s", $3, $2) }
/^ok/ { next }
{ print; fflush() }
END {
	print "what took longest:"
	for (i = 1; i <= packages; i++) print took[i] | "sort -rn | head -n 5"
}
