package sessiontest

// A want says which checks must fail a broken Store, and no others; those of may are a matter
// of chance.
type want struct {
	name      string
	want, may []string
}

// wants are broken Stores, with the checks that must fail for each, and no other; first, two that are
// not broken.
var wants = []want{
	{"", nil, nil},
	{"is slow, which is no fault", nil, nil},
	{"ignores contexts", []string{"DoneContextsDoNothing", "IndexDoneContextsDoNothing"}, nil},
	{"cuts ids at NUL", []string{
		"AnyKeyBytes", "KeysStayApart", "SelectSessionMatchesThePartialKeyOnly", "EntriesAreExact",
	}, nil},
	{"shares what it returns", []string{"ReturnedSessionsAreTheCallers", "BuffersStayApart", "LiveSessionsHaveBytes"}, nil},
	{"absent is nil", []string{"OTPFlow", "AbsentIsErrNotFound", "KeysStayApart", "LocalIsTheSameStore", "LiveSessionsHaveBytes"}, nil},
	{"returns expired", []string{
		"ExpiredIsNeverReturned", "UpdateBeginsTheTTLAnew", "UseProlongsNothing", "AnyTTL",
		"IndexAgreesWithLookup",
	}, nil},
	{"brings back deleted ones when busy", []string{
		"ReadsAreLinearizable", "CallsWithinCallsAreLinearizable", "KeysStayApart",
		"TakeNewestWithinCalls",
	}, nil},
	{"take is two steps", []string{"TakeHasOneWinner", "CallsWithinCallsAreLinearizable", "TakeNewestWithinCalls"}, nil},
	{"take is lookup", []string{
		"UpdateReplaces", "TakeRemoves", "TakeHasOneWinner", "CallsWithinCallsAreLinearizable",
		"RemovedIsRemovedEverywhere", "TakeNewestWithinCalls", "IndexAgreesWithLookup",
	}, nil},
	{"take returns expired", []string{"ExpiredIsNeverReturned", "UseProlongsNothing"}, nil},
	{"keeps the caller's slice", []string{"UpdateCopiesTheSession", "BuffersStayApart"}, nil},
	{"a TTL of 0 is for ever", []string{
		"BadTTLIsRefused", "UseProlongsNothing", "SelectSessionIsNewestFirst", "IndexAgreesWithLookup",
	}, nil},
	{"adds TTLs without a look", []string{"HugeTTLsDoNotOverflow"}, nil},
	{"refuses 16 KiB", []string{"AnySessionBytes"}, nil},
	{"update keeps the deadline", []string{"UpdateBeginsTheTTLAnew"}, nil},
	{"rounds TTLs to a tenth of a second", []string{"SessionsLiveUntilTheirTTL", "AnyTTL", "EntriesSayWhenTheyExpire"}, nil},
	{"update inserts", []string{
		"UpdateReplaces", "AnySessionBytes", "DeleteIsIdempotent", "BadTTLIsRefused",
		"UpdateBeginsTheTTLAnew", "DoneContextsDoNothing", "ClosedIsErrClosed",
		"CloseWithCallersInside", "ReadsAreLinearizable", "CallsWithinCallsAreLinearizable",
		"KeysStayApart", "RemovedIsRemovedEverywhere", "AnyTTL", "ContextsEndWithTheirCalls",
		"OTPUniqueSession", "SelectSessionIsNewestFirst", "TakeNewestTakesTheNewest",
		"TakeNewestWithinCalls", "PartialKeysStayApart", "DeletePartialRemovesAll",
		"IndexAgreesWithLookup",
	}, nil},
	{"delete of nothing fails", []string{
		"DeleteIsIdempotent", "CallsWithinCallsAreLinearizable", "KeysStayApart",
		"TakeNewestWithinCalls",
	}, nil},
	{"works after close", []string{
		"ClosedIsErrClosed", "CloseWithCallersInside", "IndexClosedIsErrClosed", "LocalIsTheSameStore",
	}, nil},
	{"cannot close twice", []string{
		"OTPFlow", "ClosedIsErrClosed", "CloseWithCallersInside", "IndexClosedIsErrClosed",
		"LocalIsTheSameStore",
	}, nil},
	{"ignores the limit", []string{"SelectSessionHonoursLimit", "AnyLimit"}, nil},
	{"oldest first", []string{
		"SelectSessionIsNewestFirst", "SelectSessionHonoursLimit",
		"SelectSessionMatchesThePartialKeyOnly", "IndexAgreesWithLookup",
	}, nil},
	{"matches prefixes", []string{
		"SelectSessionIsNewestFirst", "SelectSessionMatchesThePartialKeyOnly", "PartialKeysStayApart",
	}, nil},
	{"index forgets no one", []string{
		"RemovedIsRemovedEverywhere", "UseProlongsNothing", "SelectSessionHonoursLimit",
		"IndexNeverReturnsExpired", "PartialKeysStayApart", "AnyLimit", "DeletePartialRemovesAll",
		"AllMayChangeTheStore", "IndexAgreesWithLookup",
	}, nil},
	{"entries never expire", []string{"EntriesSayWhenTheyExpire"}, nil},
	{"returns ids for keys", []string{"OTPReuse", "PartialKeysStayApart", "EntriesAreExact", "IndexAgreesWithLookup"}, nil},
	{"shares entries", []string{"EntriesAreTheCallers", "LiveSessionsHaveBytes"}, nil},
	{"take newest is two steps", []string{"TakeNewestHandsOutOnce", "TakeNewestWithinCalls"}, nil},
	{"keeps none", []string{
		"EntriesSayWhenTheyExpire", "EntriesAreTheCallers", "IndexNeverReturnsExpired",
		"TakeNewestKeepsTheLast", "TakeNewestWithinCalls",
	}, nil},
	{"takes the oldest", []string{
		"RemovedIsRemovedEverywhere", "TakeNewestTakesTheNewest", "TakeNewestWithinCalls",
	}, nil},
	{"revokes a batch", []string{"AnyLimit", "DeletePartialRemovesAll"}, nil},
	{"is read-only within all", []string{"AllMayChangeTheStore"}, nil},
	{"all repeats itself", []string{"AllYieldsEachOnce", "AllMayChangeTheStore"}, nil},
	{"counts updates", []string{"OTPFlow", "OTPUniqueSession", "OTPSessionCleanup", "IndexAgreesWithLookup"}, nil},
	{"never counts down", []string{"OTPFlow", "OTPSessionCleanup", "IndexAgreesWithLookup"}, nil},
	{"live sessions are empty", []string{"LiveSessionsHaveBytes"}, nil},
	{"drops live forms", []string{"LocalIsTheSameStore", "LiveSessionsHaveBytes"}, nil},
	{"joins by a slash", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"joins by a bar", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"joins by a hyphen", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"joins by a dot", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"joins by a byte 0x1f", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"joins by an arrow", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"joins by nothing", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"joins the id first", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"a length that nothing ends", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"a length of one byte", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"a length of two bytes", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"32 bits of FNV", []string{"KeysStayApart"}, nil},
	{"CRC-32", []string{"KeysStayApart"}, nil},
	{"hexadecimal without zeros", []string{
		"AnyKeyBytes", "KeysStayApart", "RemovedIsRemovedEverywhere", "OTPReuse",
		"SelectSessionMatchesThePartialKeyOnly", "IndexNeverReturnsExpired",
		"TakeNewestTakesTheNewest", "TakeNewestKeepsTheLast", "PartialKeysStayApart",
		"EntriesAreExact", "AllYieldsEachOnce", "AllMayChangeTheStore", "IndexAgreesWithLookup",
		"LocalIsTheSameStore", "LiveSessionsHaveBytes",
	}, nil},
	{"cuts at 255 bytes", []string{
		"AnyKeyBytes", "KeysStayApart", "SelectSessionMatchesThePartialKeyOnly",
		"PartialKeysStayApart", "EntriesAreExact",
	}, nil},
	{"keeps the last 255 bytes", []string{
		"AnyKeyBytes", "KeysStayApart", "SelectSessionMatchesThePartialKeyOnly",
		"PartialKeysStayApart", "EntriesAreExact",
	}, nil},
	{"folds case", []string{
		"AnyKeyBytes", "KeysStayApart", "SelectSessionMatchesThePartialKeyOnly",
		"PartialKeysStayApart", "EntriesAreExact",
	}, nil},
	{"trims space", []string{
		"AnyKeyBytes", "KeysStayApart", "SelectSessionMatchesThePartialKeyOnly",
		"PartialKeysStayApart", "EntriesAreExact",
	}, nil},
	{"mends UTF-8", []string{
		"AnyKeyBytes", "KeysStayApart", "SelectSessionMatchesThePartialKeyOnly",
		"PartialKeysStayApart", "EntriesAreExact",
	}, nil},
	{"drops a final dot", []string{"KeysStayApart", "PartialKeysStayApart"}, nil},
	{"cuts partial keys at NUL", []string{"AnyKeyBytes", "KeysStayApart"}, nil},
	{"SelectSession takes patterns", []string{"PartialKeysStayApart"}, nil},
	{"DeletePartial matches prefixes", []string{"PartialKeysStayApart"}, nil},
	{"near, not told of Take", []string{
		"UpdateReplaces", "CallsWithinCallsAreLinearizable", "RemovedIsRemovedEverywhere", "AnyTTL",
		"LocalIsTheSameStore",
	}, nil},
	{"near, not told of Delete", []string{
		"OTPFlow", "AnyKeyBytes", "CallsWithinCallsAreLinearizable", "KeysStayApart",
		"RemovedIsRemovedEverywhere", "AnyTTL", "LocalIsTheSameStore",
	}, []string{"ReadsAreLinearizable"}},
	{"near, not told of Update", []string{
		"UpdateReplaces", "CallsWithinCallsAreLinearizable", "RemovedIsRemovedEverywhere",
		"UseProlongsNothing", "AnyTTL", "LocalIsTheSameStore",
	}, nil},
	{"near, not told of TakeNewest", []string{
		"RemovedIsRemovedEverywhere", "AnyTTL", "TakeNewestWithinCalls", "LocalIsTheSameStore",
	}, nil},
	{"near, not told of DeletePartial", []string{
		"RemovedIsRemovedEverywhere", "AnyTTL", "TakeNewestWithinCalls", "LocalIsTheSameStore",
	}, nil},
	{"slides", []string{
		"CallsWithinCallsAreLinearizable", "UseProlongsNothing", "AnyTTL", "TakeNewestWithinCalls",
		"LocalIsTheSameStore",
	}, []string{"ReadsAreLinearizable"}},
	{"whole seconds, up", []string{
		"ExpiredIsNeverReturned", "UpdateBeginsTheTTLAnew", "UseProlongsNothing", "AnyTTL",
		"EntriesSayWhenTheyExpire", "IndexNeverReturnsExpired", "TheLastIsNotProlonged",
		"IndexAgreesWithLookup",
	}, nil},
	{"whole seconds, down", []string{"SessionsLiveUntilTheirTTL", "AnyTTL"}, nil},
	{"at least a second", []string{
		"ExpiredIsNeverReturned", "UpdateBeginsTheTTLAnew", "UseProlongsNothing", "AnyTTL",
		"IndexNeverReturnsExpired", "TheLastIsNotProlonged", "IndexAgreesWithLookup",
	}, nil},
	{"a TTL of 1 ns is none", []string{"AnyTTL"}, nil},
	{"whole seconds beyond 1", []string{"AnyTTL"}, nil},
	{"misses with a session", []string{
		"OTPFlow", "AbsentIsErrNotFound", "UpdateReplaces", "AnyKeyBytes", "TakeRemoves",
		"ExpiredIsNeverReturned", "UpdateBeginsTheTTLAnew", "KeysStayApart",
		"RemovedIsRemovedEverywhere", "UseProlongsNothing", "TakeNewestTakesTheNewest",
		"TakeNewestKeepsTheLast", "DeletePartialRemovesAll", "IndexAgreesWithLookup",
		"LocalIsTheSameStore", "LiveSessionsHaveBytes",
	}, nil},
	{"misses with its own error", []string{
		"OTPFlow", "AbsentIsErrNotFound", "UpdateReplaces", "AnyKeyBytes", "TakeRemoves",
		"SessionsLiveUntilTheirTTL", "ExpiredIsNeverReturned", "UpdateBeginsTheTTLAnew",
		"CloseWithCallersInside", "ReadsAreLinearizable", "CallsWithinCallsAreLinearizable",
		"KeysStayApart", "RemovedIsRemovedEverywhere", "UseProlongsNothing",
		"TakeNewestTakesTheNewest", "TakeNewestKeepsTheLast", "TakeNewestWithinCalls",
		"DeletePartialRemovesAll", "AllMayChangeTheStore", "IndexAgreesWithLookup",
		"LocalIsTheSameStore", "LiveSessionsHaveBytes",
	}, nil},
	{"misses with the text alone", []string{
		"OTPFlow", "AbsentIsErrNotFound", "UpdateReplaces", "AnyKeyBytes", "TakeRemoves",
		"SessionsLiveUntilTheirTTL", "ExpiredIsNeverReturned", "UpdateBeginsTheTTLAnew",
		"CloseWithCallersInside", "ReadsAreLinearizable", "CallsWithinCallsAreLinearizable",
		"KeysStayApart", "RemovedIsRemovedEverywhere", "UseProlongsNothing",
		"TakeNewestTakesTheNewest", "TakeNewestKeepsTheLast", "TakeNewestWithinCalls",
		"DeletePartialRemovesAll", "AllMayChangeTheStore", "IndexAgreesWithLookup",
		"LocalIsTheSameStore", "LiveSessionsHaveBytes",
	}, nil},
	{"misses as closed and missing", []string{
		"OTPFlow", "AbsentIsErrNotFound", "UpdateReplaces", "AnyKeyBytes", "TakeRemoves",
		"ExpiredIsNeverReturned", "UpdateBeginsTheTTLAnew", "KeysStayApart",
		"RemovedIsRemovedEverywhere", "UseProlongsNothing", "TakeNewestTakesTheNewest",
		"TakeNewestKeepsTheLast", "DeletePartialRemovesAll", "IndexAgreesWithLookup",
		"LocalIsTheSameStore",
	}, nil},
	{"DeletePartial says 42", []string{"PartialKeysStayApart", "AnyLimit", "DeletePartialRemovesAll"}, nil},
	{"DeletePartial says one more", []string{"PartialKeysStayApart", "AnyLimit", "DeletePartialRemovesAll"}, nil},
	{"DeletePartial says 0", []string{"PartialKeysStayApart", "AnyLimit", "DeletePartialRemovesAll"}, nil},
	{"Size is one more", []string{
		"OTPFlow", "OTPUniqueSession", "OTPSessionCleanup", "AllYieldsEachOnce",
		"IndexAgreesWithLookup",
	}, nil},
	{"Size is never 0", []string{"OTPFlow", "OTPSessionCleanup"}, nil},
	{"SelectSession shows 100", []string{"AnyLimit"}, nil},
	{"SelectSession misses the last", []string{
		"SelectSessionIsNewestFirst", "SelectSessionHonoursLimit",
		"SelectSessionMatchesThePartialKeyOnly", "AnyLimit", "AllMayChangeTheStore",
		"IndexAgreesWithLookup",
	}, nil},
	{"sessions end at NUL", []string{"AnySessionBytes", "EntriesAreExact"}, nil},
	{"sessions are trimmed", []string{"AnySessionBytes", "EntriesAreExact"}, nil},
	{"sessions are text", []string{"AnySessionBytes", "EntriesAreExact"}, nil},
	{"nil sessions are dropped", []string{"AnySessionBytes"}, nil},
	{"allocates the limit", []string{"AnyLimit"}, nil},
	{"one buffer for all", []string{"BuffersStayApart"}, nil},
	{"sessions end with their context", []string{"ContextsEndWithTheirCalls"}, nil},
	{"All ends with half", []string{"AllYieldsEachOnce", "AllMayChangeTheStore"}, nil},
	{"All ignores the end of its loop", []string{"AllYieldsEachOnce"}, nil},
	{"All yields on after an error", []string{"IndexDoneContextsDoNothing", "IndexClosedIsErrClosed"}, nil},
	{"All holds a lock", []string{"AllMayChangeTheStore"}, nil},
	{"keeps the last for longer", []string{"EntriesSayWhenTheyExpire", "TakeNewestWithinCalls", "TheLastIsNotProlonged"}, nil},
	{"a refused Update removes", []string{"BadTTLIsRefused", "SelectSessionIsNewestFirst", "IndexAgreesWithLookup"}, nil},
	{"Take and Update in two steps", []string{"CallsWithinCallsAreLinearizable", "TakeNewestWithinCalls"}, []string{"TakeHasOneWinner"}},
	{"TakeNewest in two steps", []string{"TakeNewestWithinCalls"}, []string{"TakeNewestHandsOutOnce"}},
}
