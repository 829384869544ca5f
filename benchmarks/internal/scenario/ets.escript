#!/usr/bin/env escript
%% Measures the session store that Erlang/OTP's ssl application uses for its clients, through
%% OTP's own module. Argument: the number of sessions. Output: lines as of Go's benchmarks.
-mode(compile).

main([Arg]) ->
    Sessions = list_to_integer(Arg),
    Hosts = max(1, min(100000, Sessions div 10)),
    Cache = ssl_client_session_cache_db:init([{role, client}]),
    Key = fun(N) -> {host(N rem Hosts), id(N)} end,
    Value = binary:copy(<<7>>, 256),
    Before = erlang:memory(ets),
    [ssl_client_session_cache_db:update(Cache, Key(N), Value) || N <- lists:seq(0, Sessions - 1)],
    Sessions = ssl_client_session_cache_db:size(Cache),
    %% The 256 bytes of the value are a binary outside the table, shared by all. What is left
    %% besides the bytes of the key is OTP's own.
    PerSession = (erlang:memory(ets) - Before) / Sessions - 25 - 32,
    Ops = min(Sessions, 200000),
    Picks = [Key(rand:uniform(Sessions) - 1) || _ <- lists:seq(1, Ops)],
    report("lookup", Ops, time(Picks, fun(K) -> Value = ssl_client_session_cache_db:lookup(Cache, K) end), []),
    report("update", Ops, time(Picks, fun(K) -> true = ssl_client_session_cache_db:update(Cache, K, Value) end), []),
    Ten = Sessions div Hosts,
    Few = lists:sublist(Picks, 20000),
    report("select", length(Few), time(Few, fun({Host, _}) ->
        Ten = length(ssl_client_session_cache_db:select_session(Cache, Host)) end), []),
    Each = [Key(N * 7919 rem Sessions) || N <- lists:seq(1, min(Ops, Sessions div 2))],
    report("delete", length(Each), time(Each, fun(K) -> true = ssl_client_session_cache_db:delete(Cache, K) end),
        [{PerSession, "B/session"}]).

host(N) ->
    iolist_to_binary(io_lib:format("host~5..0B.example.net:443", [N])).

%% 32 bytes that differ from number to number.
id(N) ->
    << <<(mix(N * 4 + W)):64>> || W <- lists:seq(0, 3) >>.

mix(X0) ->
    X1 = ((X0 + 1) * 16#9e3779b97f4a7c15) band 16#ffffffffffffffff,
    X2 = ((X1 bxor (X1 bsr 30)) * 16#bf58476d1ce4e5b9) band 16#ffffffffffffffff,
    X3 = ((X2 bxor (X2 bsr 27)) * 16#94d049bb133111eb) band 16#ffffffffffffffff,
    X3 bxor (X3 bsr 31).

%% Returns nanoseconds for one of the calls.
time(Keys, F) ->
    erlang:garbage_collect(),
    Start = erlang:monotonic_time(nanosecond),
    lists:foreach(F, Keys),
    (erlang:monotonic_time(nanosecond) - Start) / length(Keys).

report(Op, N, Nanos, More) ->
    io:format("BenchmarkCompare/scenario=otp/cache=otp-ets/op=~s-1\t~b\t~.2f ns/op", [Op, N, float(Nanos)]),
    [io:format("\t~.2f ~s", [float(V), Unit]) || {V, Unit} <- More],
    io:nl().
