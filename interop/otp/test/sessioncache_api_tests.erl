%% The callback module by itself: what the behaviour asks of it, whatever becomes of the
%% port program.
-module(sessioncache_api_tests).

-include_lib("eunit/include/eunit.hrl").

-define(CB, sessioncache_session_cb).
-define(LIB, sessioncache_test_lib).
%% Each test has a process: its caches end with it.
%% The limit is for what hangs: a slow machine may take ten times as long as this one.
-define(TEST(Seconds, Body), {timeout, 10 * (Seconds), {spawn, fun() -> Body end}}).

%% The flow of OTP's ssl_session_cache_api_SUITE, for both roles and their keys.
both_roles_have_a_cache_of_their_own_test_() ->
    ?TEST(60, begin
        Client = ?LIB:open(client, []),
        Server = ?LIB:open(server, []),
        keeps_two_and_deletes_one(Client, {{"host", 443}, <<1>>}, {{"host", 443}, <<2>>}),
        keeps_two_and_deletes_one(Server, <<1>>, <<2>>),
        ?CB:terminate(Client),
        ?assertEqual({1, undefined}, {?CB:size(Server), ?CB:lookup(Client, {{"host", 443}, <<1>>})}),
        ?CB:terminate(Server)
    end).

keeps_two_and_deletes_one(Cache, Key1, Key2) ->
    ?assertEqual(0, ?CB:size(Cache)),
    ?CB:update(Cache, Key1, {session, 1}),
    ?CB:update(Cache, Key2, {session, 2}),
    ?assertEqual({{session, 1}, {session, 2}}, {?CB:lookup(Cache, Key1), ?CB:lookup(Cache, Key2)}),
    ?CB:delete(Cache, Key2),
    ?CB:delete(Cache, Key2),
    ?assertEqual({1, undefined}, {?CB:size(Cache), ?CB:lookup(Cache, Key2)}),
    ?assertEqual([{Key1, {session, 1}}], ?CB:foldl(fun(E, Acc) -> [E | Acc] end, [], Cache)).

%% What random users see is what they see of OTP's own client cache.
random_operations_have_the_answers_of_otps_own_cache_test_() ->
    ?TEST(300, begin
        {seed, Seed} = {seed, erlang:unique_integer() + erlang:system_time()},
        io:format(user, "seed ~p~n", [Seed]),
        rand:seed(exsss, Seed),
        Theirs = ssl_client_session_cache_db:init([{role, client}]),
        Ours = ?LIB:open([{max_sessions, 30000}]),
        lists:foreach(fun(N) -> same(N, operation(), Theirs, Ours) end, lists:seq(1, ?LIB:number(30000, 30000))),
        ?assertEqual(up, maps:get(mode, ?LIB:info(Ours)))
    end).

operation() ->
    Key = {Partial = {lists:nth(rand:uniform(8), ["a", "b", "longer.example.com", "", [228, 8364], {127, 0, 0, 1}, local, "h"]),
                      443 + rand:uniform(2)},
           <<(rand:uniform(12)):(lists:nth(rand:uniform(3), [8, 128, 256]))>>},
    case rand:uniform(100) of
        N when N =< 35 -> {update, [Key, {session, rand:uniform(1000000), crypto:strong_rand_bytes(rand:uniform(3000)), #{}}]};
        N when N =< 60 -> {lookup, [Key]};
        N when N =< 80 -> {delete, [Key]};
        N when N =< 90 -> {select_session, [Partial]};
        N when N =< 98 -> {size, []};
        _ -> foldl
    end.

same(N, foldl, Theirs, Ours) ->
    Sorted = fun(Cb, Cache) -> lists:sort(Cb:foldl(fun(E, Acc) -> [E | Acc] end, [], Cache)) end,
    ?assertEqual({N, Sorted(ssl_client_session_cache_db, Theirs)}, {N, Sorted(?CB, Ours)});
same(N, {select_session, Args}, Theirs, Ours) ->
    ?assertEqual({N, lists:sort(apply(ssl_client_session_cache_db, select_session, [Theirs | Args]))},
                 {N, lists:sort(apply(?CB, select_session, [Ours | Args]))});
same(_, {Write, Args}, Theirs, Ours) when Write =:= update; Write =:= delete ->
    apply(ssl_client_session_cache_db, Write, [Theirs | Args]),
    apply(?CB, Write, [Ours | Args]);
same(N, {Read, Args}, Theirs, Ours) ->
    ?assertEqual({N, apply(ssl_client_session_cache_db, Read, [Theirs | Args])}, {N, apply(?CB, Read, [Ours | Args])}).

%% Also while there is no program, and in one that was told all anew.
select_session_is_newest_first_test_() ->
    ?TEST(60, begin
        Cache = ?LIB:open([]),
        Ids = [3, 1, 4, 15, 9, 2, 6, 5],
        [?CB:update(Cache, {{"h", 1}, Id}, Id) || Id <- Ids],
        ?CB:update(Cache, {{"h", 1}, 4}, 4),
        NewestFirst = [4 | lists:reverse(lists:delete(4, Ids))],
        ?assertEqual(NewestFirst, ?CB:select_session(Cache, {"h", 1})),
        #{os_pid := Pid} = ?LIB:info(Cache),
        ?LIB:kill("KILL", Pid),
        ?LIB:until(fun() -> maps:get(mode, ?LIB:info(Cache)) =:= down end),
        ?assertEqual(NewestFirst, ?CB:select_session(Cache, {"h", 1})),
        ?LIB:up(Cache),
        ?assertEqual(NewestFirst, ?CB:select_session(Cache, {"h", 1}))
    end).

%% OTP starts the client's cache anew without saying its role.
init_needs_no_role_and_refuses_what_cannot_work_test_() ->
    ?TEST(60, begin
        Cache = ?CB:init([{program, ?LIB:program()}, {lifetime, 1}, {margin, 1}, {max_sessions, 1}, {max_bytes, 1}, {timeout, 1}]),
        ?assertEqual(0, ?CB:size(Cache)),
        ?assertError({?CB, {program_not_found, "/no/such/program"}}, ?CB:init([{program, "/no/such/program"}])),
        ?assertError({?CB, {unknown_arg, lifetimes}}, ?CB:init([{program, ?LIB:program()}, {lifetimes, 1}])),
        ?assertError({?CB, {bad_arg, {lifetime, 0}}}, ?CB:init([{program, ?LIB:program()}, {lifetime, 0}])),
        ?assertError({?CB, {bad_arg, what}}, ?CB:init([what]))
    end).

terminate_may_come_twice_from_anywhere_or_never_test_() ->
    ?TEST(60, begin
        {Owner, Cache} = ?LIB:owned(client, []),
        ?CB:terminate(Cache),
        ?CB:terminate(Cache),
        ?assert(is_process_alive(Owner)),
        ?assertEqual({undefined, [], acc}, {?CB:lookup(Cache, 1), ?CB:select_session(Cache, 1), ?CB:foldl(fun(_, A) -> A end, acc, Cache)}),
        ?LIB:until(fun() -> ?LIB:os_pids() =:= [] end),
        lists:foreach(fun(Reason) ->
            {Other, {cache, Shadow, Supervisor}} = ?LIB:owned(server, []),
            exit(Other, Reason),
            Other ! Reason,
            ?LIB:until(fun() -> ?LIB:os_pids() =:= [] andalso not is_process_alive(Supervisor) end),
            ?assertEqual(undefined, ets:info(Shadow))
        end, [normal, shutdown, kill, {a, crash}])
    end).

a_session_too_large_for_a_frame_is_kept_test_() ->
    ?TEST(60, begin
        Cache = ?LIB:open([]),
        Huge = {session, binary:copy(<<"x">>, 3 bsl 20)},
        ?CB:update(Cache, {{"h", 1}, <<1>>}, Huge),
        ?CB:update(Cache, {{"h", 1}, <<2>>}, small),
        ?assert(Huge =:= ?CB:lookup(Cache, {{"h", 1}, <<1>>})),
        ?assert([small, Huge] =:= ?CB:select_session(Cache, {"h", 1})),
        ?assertEqual(2, ?CB:foldl(fun(_, N) -> N + 1 end, 0, Cache)),
        ?CB:update(Cache, {{"h", 1}, <<1>>}, now_small),
        ?assertEqual(now_small, ?CB:lookup(Cache, {{"h", 1}, <<1>>})),
        ?assertEqual(up, maps:get(mode, ?LIB:info(Cache)))
    end).

foldl_goes_on_while_its_function_changes_the_cache_test_() ->
    ?TEST(60, begin
        Cache = ?LIB:open([{max_sessions, 5000}]),
        Keys = [{{"h", N rem 7}, <<N:32>>} || N <- lists:seq(1, 5000)],
        [?CB:update(Cache, Key, Key) || Key <- Keys],
        Deleted = ?CB:foldl(fun({Key, Key}, Acc) -> ?CB:delete(Cache, Key), [Key | Acc] end, [], Cache),
        ?assertEqual(lists:sort(Keys), lists:sort(Deleted)),
        ?assertEqual(0, ?CB:size(Cache)),
        ?CB:update(Cache, k, v),
        ?assertEqual(acc, ?CB:foldl(fun(_, _) -> error(oops) end, acc, Cache))
    end).

lookups_are_answered_during_a_foldl_of_many_test_() ->
    ?TEST(300, begin
        Count = ?LIB:number(100000, 100000),
        Cache = ?LIB:open([{max_sessions, 2 * Count}]),
        Self = self(),
        Session = crypto:strong_rand_bytes(1000),
        Writers = [spawn_link(fun() -> write(Cache, N, Count, Session), Self ! {self(), written} end) || N <- lists:seq(1, 16)],
        [receive {Writer, written} -> ok end || Writer <- Writers],
        Folder = spawn_link(fun() ->
            Begin = now_ms(),
            Sum = ?CB:foldl(fun({{_, <<N:256>>}, {N, _}}, Acc) -> Acc + N end, 0, Cache),
            Self ! {self(), Sum, now_ms() - Begin}
        end),
        Readers = [spawn_link(fun() -> Self ! {self(), read(Cache, Count, Folder, 0, 0)} end) || _ <- lists:seq(1, 64)],
        {Sum, Took} = receive {Folder, S, T} -> {S, T} end,
        ?assertEqual(Count * (Count + 1) div 2, Sum),
        Reads = [receive {Reader, R} -> R end || Reader <- Readers],
        {Lookups, Slowest} = {lists:sum([N || {N, _} <- Reads]), lists:max([Ms || {_, Ms} <- Reads])},
        io:format(user, "~p lookups of 64 processes during a foldl of ~p ms; slowest ~p ms~n", [Lookups, Took, Slowest]),
        ?assert(lists:all(fun({N, _}) -> N > 0 end, Reads)),
        ?assert(Slowest < 1000),
        ?assertEqual(up, maps:get(mode, ?LIB:info(Cache)))
    end).

write(Cache, N, Count, Session) when N =< Count ->
    ?CB:update(Cache, {{"h", N rem 1000}, <<N:256>>}, {N, Session}),
    write(Cache, N + 16, Count, Session);
write(_, _, _, _) ->
    ok.

%% Looks up until the fold is over, at least once: how often, and the slowest.
read(Cache, Count, Folder, Lookups, Slowest) ->
    N = rand:uniform(Count),
    Begin = now_ms(),
    {N, _} = ?CB:lookup(Cache, {{"h", N rem 1000}, <<N:256>>}),
    Now = {Lookups + 1, max(Slowest, now_ms() - Begin)},
    case is_process_alive(Folder) of
        true -> read(Cache, Count, Folder, element(1, Now), element(2, Now));
        false -> Now
    end.

now_ms() -> erlang:monotonic_time(millisecond).
