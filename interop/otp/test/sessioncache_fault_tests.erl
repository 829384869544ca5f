%% What becomes of the sessions when the port program, or its owner, does not do its part.
-module(sessioncache_fault_tests).

-export([log/2]).

-include_lib("eunit/include/eunit.hrl").

-define(CB, sessioncache_session_cb).
-define(LIB, sessioncache_test_lib).
%% Each test has a process: its caches end with it.
%% The limit is for what hangs: a slow machine may take ten times as long as this one.
-define(TEST(Seconds, Body), {timeout, 10 * (Seconds), {spawn, fun() -> Body end}}).

%% OTP's order bookkeeping ends its process if a session that it counts on is not there.
sessions_are_there_while_programs_are_killed_test_() ->
    ?TEST(120, begin
        Cache = ?LIB:open([]),
        Self = self(),
        Users = [spawn_link(fun() -> Self ! {self(), use(Cache, User, 0)} end) || User <- lists:seq(1, 8)],
        lists:foreach(fun(_) ->
            #{os_pid := Pid} = ?LIB:info(Cache),
            ?LIB:kill("KILL", Pid),
            ?LIB:until(fun() -> case ?LIB:info(Cache) of #{mode := up, os_pid := Other} -> is_integer(Other) andalso Other =/= Pid; _ -> false end end)
        end, lists:seq(1, 4)),
        [User ! stop || User <- Users],
        Rounds = [receive {User, N} -> N end || User <- Users],
        ?assert(lists:all(fun(N) -> N > 0 end, Rounds)),
        %% and the program knows it all, too
        Left = [{{"h", User}, <<0>>} || User <- lists:seq(1, 8)],
        ?assertEqual(Left, lists:sort(?CB:foldl(fun({Key, _}, Acc) -> [Key | Acc] end, [], Cache)))
    end).

%% One owner's session comes, is replaced, is seen, goes; and one stays. All is as it must be.
use(Cache, User, N) ->
    Key = {{"h", User}, <<N:32>>},
    Stays = {{"h", User}, <<0>>},
    ?CB:update(Cache, Stays, {stays, N}),
    ?CB:update(Cache, Key, first),
    ?CB:update(Cache, Key, second),
    {{stays, N}, second} = {?CB:lookup(Cache, Stays), ?CB:lookup(Cache, Key)},
    [second, {stays, N}] = lists:sort(?CB:select_session(Cache, {"h", User})),
    ?CB:delete(Cache, Key),
    undefined = ?CB:lookup(Cache, Key),
    receive stop -> N + 1 after 0 -> use(Cache, User, N + 1) end.

a_new_program_is_told_all_sessions_test_() ->
    ?TEST(120, begin
        Count = ?LIB:number(20000, 100000),
        Cache = ?LIB:open([{max_sessions, 2 * Count}]),
        [?CB:update(Cache, <<N:256>>, {N, <<0:8000>>}) || N <- lists:seq(1, Count)],
        #{os_pid := Pid} = ?LIB:info(Cache),
        ?LIB:kill("KILL", Pid),
        ?LIB:until(fun() -> maps:get(os_pid, ?LIB:info(Cache)) =/= Pid end),
        ?assertEqual({7, <<0:8000>>}, ?CB:lookup(Cache, <<7:256>>)), % at once
        ?LIB:until(fun() -> maps:get(mode, ?LIB:info(Cache)) =/= down end), % it is being told; 7 was the first
        ?CB:update(Cache, <<7:256>>, replaced),
        ?CB:delete(Cache, <<8:256>>),
        ?LIB:up(Cache),
        ?assertEqual(Count - 1, ?CB:size(Cache)),
        ?assertEqual({replaced, undefined}, {?CB:lookup(Cache, <<7:256>>), ?CB:lookup(Cache, <<8:256>>)}),
        Sum = ?CB:foldl(fun({<<N:256>>, _}, Acc) -> Acc + N end, 0, Cache),
        ?assertEqual(Count * (Count + 1) div 2 - 8, Sum)
    end).

a_program_that_hangs_is_replaced_test_() ->
    ?TEST(60, begin
        Cache = ?LIB:open([{timeout, 200}]),
        ?CB:update(Cache, k, v),
        #{os_pid := Pid} = ?LIB:info(Cache),
        ?LIB:kill("STOP", Pid),
        %% more than a pipe takes
        Answers = ?LIB:within(200000, fun() ->
            Self = self(),
            Big = binary:copy(<<1>>, 100000),
            [spawn_link(fun() -> ?CB:update(Cache, N, Big), Self ! ?CB:lookup(Cache, k) end) || N <- lists:seq(1, 50)],
            [receive Answer -> Answer end || _ <- lists:seq(1, 50)]
        end),
        ?assertEqual([v], lists:usort(Answers)),
        ?LIB:up(Cache),
        ?assertNot(lists:member(Pid, ?LIB:os_pids())),
        ?assertEqual(51, ?CB:size(Cache))
    end).

%% The life of a session in the program is a lease: what its owner still has is renewed, before
%% anybody could miss it.
what_the_owner_keeps_beyond_its_lifetime_is_there_test_() ->
    ?TEST(60, begin
        Cache = {cache, Shadow, _} = ?LIB:open(server, [{lifetime, 1}, {margin, 2}]),
        ?CB:update(Cache, <<"idle">>, session),
        ?CB:update(Cache, <<"deleted">>, session),
        ?CB:delete(Cache, <<"deleted">>),
        timer:sleep(5000), % its life in the program is over
        ?assertEqual(session, ?CB:lookup(Cache, <<"idle">>)),
        ?assertEqual({1, undefined}, {?CB:size(Cache), ?CB:lookup(Cache, <<"deleted">>)}),
        %% That the program did forget it: what the shadow does not know is not renewed.
        ets:delete(Shadow, {session, {<<>>, term_to_binary(<<"idle">>)}}),
        timer:sleep(5000),
        ?assertEqual(undefined, ?CB:lookup(Cache, <<"idle">>))
    end).

what_the_program_refuses_is_there_test_() ->
    ?TEST(60, begin
        Cache = ?LIB:open([{lifetime, 1}, {margin, 2}, {max_sessions, 10}]),
        Keys = [{{"h", 1}, <<N>>} || N <- lists:seq(1, 30)],
        [?CB:update(Cache, Key, Key) || Key <- Keys],
        ?assertEqual({30, 30}, {?CB:size(Cache), length(?CB:select_session(Cache, {"h", 1}))}),
        ?assertEqual(Keys, [?CB:lookup(Cache, Key) || Key <- Keys]),
        ?assertEqual(full, maps:get(mode, ?LIB:info(Cache))),
        [?CB:delete(Cache, Key) || Key <- lists:nthtail(10, Keys)],
        ?LIB:until(fun() -> ?CB:size(Cache), maps:get(mode, ?LIB:info(Cache)) =:= up end),
        ?assertEqual(Keys, [?CB:lookup(Cache, Key) || Key <- lists:sublist(Keys, 10)] ++ lists:nthtail(10, Keys))
    end).

an_owner_that_crashes_is_restarted_over_the_same_sessions_test_() ->
    ?TEST(60, begin
        Cache = {cache, Shadow, Supervisor} = ?LIB:open([]),
        ?CB:update(Cache, k, v),
        lists:foreach(fun(N) ->
            exit(sessioncache_shadow:port_owner(Shadow), kill),
            ?CB:update(Cache, {n, N}, N),
            ?assertEqual({v, N + 1}, {?CB:lookup(Cache, k), ?CB:size(Cache)})
        end, lists:seq(1, 3)),
        ?LIB:up(Cache),
        ?assertEqual(4, ?CB:size(Cache)),
        %% and if it is gone for good, there is the shadow
        unlink(Supervisor),
        exit(Supervisor, kill),
        ?LIB:until(fun() -> ?LIB:os_pids() =:= [] end),
        ?CB:delete(Cache, k),
        ?assertEqual({undefined, 1, 3}, {?CB:lookup(Cache, k), ?CB:lookup(Cache, {n, 1}), ?CB:size(Cache)})
    end).

a_program_that_is_no_good_does_no_harm_test_() ->
    ?TEST(60, begin
        lists:foreach(fun(Script) ->
            Program = script(Script),
            Cache = ?CB:init([{role, server}, {program, Program}, {timeout, 20}]),
            lists:foreach(fun(N) ->
                ?CB:update(Cache, k, N),
                ?assertEqual({N, 1}, {?CB:lookup(Cache, k), ?CB:size(Cache)}),
                timer:sleep(1)
            end, lists:seq(1, 300)),
            ?CB:terminate(Cache),
            ok = file:delete(Program)
        end, ["exit 3", "exec cat", "exec sleep 5", "printf '\\0\\0\\0\\1x'; exec sleep 5"])
    end).

script(Text) ->
    Name = filename:join("/tmp", "sessioncache" ++ integer_to_list(erlang:unique_integer([positive])) ++ os:getpid()),
    ok = file:write_file(Name, ["#!/bin/sh\n", Text, "\n"]),
    ok = file:change_mode(Name, 8#700),
    Name.

%% Sessions are secrets. What a crash of the port owner puts into the log has none.
a_crash_logs_no_session_test_() ->
    ?TEST(60, begin
        Self = self(),
        Handler = fun(#{msg := Message}) -> Self ! {logged, lists:flatten(io_lib:format("~0p", [Message]))} end,
        persistent_term:put(?MODULE, Handler),
        ok = logger:add_handler(?MODULE, ?MODULE, #{}),
        process_flag(trap_exit, true),
        Cache = {cache, Shadow, _} = ?LIB:open([]),
        ?CB:update(Cache, k, <<"secret">>),
        Owner = sessioncache_shadow:port_owner(Shadow),
        %% a table that is gone makes the next update a crash
        true = ets:delete(Shadow),
        catch gen_server:call(Owner, {update, {<<"p">>, <<"i">>}, <<"secret">>}),
        ?LIB:until(fun() -> not is_process_alive(Owner) end),
        Logged = logged(),
        ok = logger:remove_handler(?MODULE),
        ?assertMatch([_ | _], Logged),
        Secret = lists:flatten(io_lib:format("~0p", [<<"secret">>])),
        [?assertEqual(nomatch, string:find(Text, Secret)) || Text <- Logged]
    end).

log(Event, _) -> (persistent_term:get(?MODULE))(Event).

logged() ->
    receive {logged, Text} -> [Text | logged()] after 500 -> [] end.
