%% Owns the port program of one cache. Any process may call it; requests are told apart by
%% their ids, so that many are under way at once.
%%
%% It works in one of four ways, the mode:
%%
%%   up            requests go to the program
%%   {fill, Keys}  a program has started, or sessions near the end of their life in the program are
%%                 told anew, the oldest first: Keys are left. Reads are answered by the shadow,
%%                 writes go to both
%%   full          the program refused a session. Reads are answered by the shadow, writes go to both.
%%                 Now and then it is filled anew, in case there is room
%%   down          there is no program, or it has not answered yet: all is done in the shadow
%%
%% Writes go into the shadow first. The stream to the program keeps their order, so what the
%% program knows is the shadow as it was a moment ago.
-module(sessioncache_port).
-behaviour(gen_server).

-include_lib("kernel/include/logger.hrl").

-export([start_link/2, info/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).
-export_type([config/0]).

-type config() :: #{
    program := file:filename_all(),
    lifetime := pos_integer(),
    margin := pos_integer(),
    max_sessions := pos_integer(),
    max_bytes := pos_integer(),
    timeout := pos_integer()
}.

%% A larger session stays in the shadow, and the program keeps its name. None that a handshake
%% makes comes near: OTP's max_handshake_size is 256 KiB, and the program takes 1 MiB.
-define(MAX_SESSION, (512 * 1024)).

-define(MAX_DELAY, 10000). % ms between two starts of a program that ends at once

-record(state, {
    shadow :: sessioncache_shadow:shadow(),
    config :: config(),
    mode = down :: up | {fill, [sessioncache_protocol:key()] | checked} | full | down,
    port = none :: port() | none,
    started = 0 :: integer(), % ms
    delay = 0 :: non_neg_integer(), % ms, before the next start
    look = 0 :: integer(), % s, when to look for sessions to tell anew
    next_id = 1 :: pos_integer(),
    waiting = #{} :: #{pos_integer() => asked()},
    unsent = queue:new() :: queue:queue({gen_server:from() | none, sessioncache_protocol:request()}),
    watch = none :: reference() | none, % the timer that looks whether the program answers
    answers = 0 :: non_neg_integer() % since the watch last looked
}).

-record(asked, {
    from :: gen_server:from() | none, % none: a write that nobody waits for
    request :: sessioncache_protocol:request(),
    pages = [] :: [binary()] % so far, the last one first
}).
-type asked() :: #asked{}.

-spec start_link(sessioncache_shadow:shadow(), config()) -> {ok, pid()}.
start_link(Shadow, Config) ->
    {ok, _} = gen_server:start_link(?MODULE, {Shadow, Config}, []).

%% For the shell and for tests: the mode, the program's process, and how many requests are
%% with it or wait.
-spec info(pid()) -> #{mode := up | fill | full | down, os_pid := non_neg_integer() | none, requests := non_neg_integer()}.
info(Pid) -> gen_server:call(Pid, info, infinity).

%%% Callbacks

-spec init({sessioncache_shadow:shadow(), config()}) -> {ok, #state{}, {continue, start}}.
init({Shadow, Config}) ->
    process_flag(trap_exit, true),
    process_flag(sensitive, true), % what passes through holds master secrets
    sessioncache_shadow:set_port_owner(Shadow, self()),
    {ok, #state{shadow = Shadow, config = Config}, {continue, start}}.

-spec handle_continue(start, #state{}) -> {noreply, #state{}}.
handle_continue(start, State) ->
    safely(fun() -> {noreply, start(State)} end).

-spec handle_call(sessioncache_protocol:request() | info, gen_server:from(), #state{}) ->
    {noreply, #state{}} | {reply, map(), #state{}}.
handle_call(info, _From, #state{mode = Mode, waiting = Waiting, unsent = Unsent} = State) ->
    Info = #{
        mode => if is_tuple(Mode) -> fill; true -> Mode end,
        os_pid => os_pid(State),
        requests => map_size(Waiting) + queue:len(Unsent)
    },
    {reply, Info, State};
handle_call(Request, From, State) ->
    safely(fun() -> {noreply, ask(Request, From, State)} end).

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(Message, State) ->
    safely(fun() -> {noreply, message(Message, State)} end).

-spec terminate(term(), #state{}) -> ok.
terminate(_, State) ->
    close(State).

%% Neither state nor messages may reach a log: they hold sessions.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(Status) ->
    maps:map(
        fun (state, _) -> hidden;
            (message, _) -> hidden;
            (log, _) -> [];
            (_, Value) -> Value
        end,
        Status
    ).

%% Nor may the values that a crash is about, and the arguments in its stack.
safely(Fun) ->
    try
        Fun()
    catch
        Class:Reason:Stack ->
            Places = [{M, F, if is_list(A) -> length(A); true -> A end, Info} || {M, F, A, Info} <- Stack],
            exit({Class, kind(Reason), Places})
    end.

kind(Reason) when is_atom(Reason) -> Reason;
kind(Reason) when is_atom(element(1, Reason)) -> element(1, Reason);
kind(_) -> hidden.

%%% Messages

ask(Request, From, #state{shadow = Shadow} = State0) ->
    sessioncache_shadow:write(Shadow, Request, now_s()),
    State = look(State0),
    case State#state.mode of
        up ->
            send({From, Request}, State);
        Mode ->
            gen_server:reply(From, sessioncache_shadow:ask(Shadow, Request)),
            case Mode =/= down andalso writes(Request) of
                true -> send({none, Request}, State);
                false -> State
            end
    end.

message({Port, {data, Frame}}, #state{port = Port} = State) ->
    case sessioncache_protocol:answer(Frame) of
        {Id, Answer} -> answered(Id, Answer, State);
        bad_frame -> replace("it does not speak the protocol", State)
    end;
message({Port, {exit_status, Status}}, #state{port = Port} = State) ->
    down(["it ended with status ", integer_to_list(Status)], State);
message({'EXIT', Port, _}, #state{port = Port} = State) ->
    down("its pipe broke", State);
message({timeout, Watch, watch}, #state{watch = Watch} = State) ->
    watch(State#state{watch = none});
message(start, #state{port = none} = State) ->
    start(State);
message(_, State) -> % what an earlier port had sent
    State.

%%% The program

%% A started program is asked for something, and is used when it has answered.
start(#state{config = Config} = State0) ->
    State = State0#state{started = now_ms()},
    try
        open_port({spawn_executable, maps:get(program, Config)}, [
            {args, args(Config)}, {packet, 4}, binary, exit_status, use_stdio, hide
        ])
    of
        Port -> send({none, size}, State#state{port = Port})
    catch
        error:Reason -> down(io_lib:format("it cannot be started: ~p", [Reason]), State)
    end.

args(#{lifetime := Lifetime, margin := Margin, max_sessions := MaxSessions, max_bytes := MaxBytes}) ->
    ["otp-port",
     "-ttl", integer_to_list(Lifetime + Margin) ++ "s",
     "-max-sessions", integer_to_list(MaxSessions),
     "-max-bytes", integer_to_list(MaxBytes)].

%% The program is gone, or no good. Whoever waits for it is answered by the shadow.
down(Why, #state{shadow = Shadow, config = Config} = State) ->
    close(State),
    [gen_server:reply(From, sessioncache_shadow:ask(Shadow, Request))
     || {From, Request} <- requests(State), From =/= none],
    Delay = delay(State),
    ?LOG_WARNING("sessioncache: lost the port program ~ts: ~ts; starting it again in ~b ms",
                 [maps:get(program, Config), Why, Delay]),
    erlang:send_after(Delay, self(), start),
    State#state{mode = down, port = none, delay = Delay, waiting = #{}, unsent = queue:new(),
                watch = none}.

%% A program that is stopped, or is another one, need not end when its input does.
replace(Why, State) ->
    case os_pid(State) of
        none -> ok;
        Pid -> _ = os:cmd("kill -KILL " ++ integer_to_list(Pid))
    end,
    down(Why, State).

requests(#state{waiting = Waiting, unsent = Unsent}) ->
    [{From, Request} || #asked{from = From, request = Request} <- maps:values(Waiting)] ++ queue:to_list(Unsent).

%% At once after a good run; more and more slowly when it does not even run.
delay(#state{started = Started, delay = Delay}) ->
    case now_ms() - Started > ?MAX_DELAY of
        true -> 0;
        false -> min(max(2 * Delay, 50), ?MAX_DELAY)
    end.

close(#state{port = none}) ->
    ok;
close(#state{port = Port}) ->
    try port_close(Port), ok catch error:badarg -> ok end. % it ended by itself

os_pid(#state{port = none}) ->
    none;
os_pid(#state{port = Port}) ->
    case erlang:port_info(Port, os_pid) of
        {os_pid, Pid} -> Pid;
        undefined -> none
    end.

%%% Requests

writes({update, _, _}) -> true;
writes({delete, _}) -> true;
writes(_) -> false.

send(Wait, #state{unsent = Unsent} = State) ->
    flow(State#state{unsent = queue:in(Wait, Unsent)}).

%% Sends what the pipe takes, in order. What is to be filled in comes when nothing else waits.
%% To wait for the pipe would be fatal: nobody would notice that the program hangs. It is tried
%% again after the next answer, and one is due, for what fills the pipe are requests.
flow(#state{port = Port, unsent = Unsent, next_id = Id, waiting = Waiting} = State) ->
    case queue:out(Unsent) of
        {empty, _} ->
            fill(State);
        {{value, {From, Request}}, Rest} ->
            case transmit(Port, sessioncache_protocol:request(Id, fitting(Request))) of
                true ->
                    Asked = Waiting#{Id => #asked{from = From, request = Request}},
                    flow(watched(State#state{next_id = Id + 1, waiting = Asked, unsent = Rest}));
                false ->
                    State
            end
    end.

transmit(Port, Frame) ->
    try port_command(Port, Frame, [nosuspend]) catch error:badarg -> true end. % its end is on the way here

fitting({update, Key, Session}) when byte_size(Session) > ?MAX_SESSION ->
    {update, Key, <<0, (sessioncache_protocol:page([Key]))/binary>>};
fitting(Request) ->
    Request.

fill(#state{mode = {fill, []}} = State) ->
    send({none, size}, State#state{mode = {fill, checked}});
fill(#state{mode = {fill, [Key | Keys]}, shadow = Shadow, unsent = Unsent} = State) ->
    Next = State#state{mode = {fill, Keys}},
    case sessioncache_shadow:find(Shadow, Key) of
        {ok, Session} ->
            sessioncache_shadow:touch(Shadow, Key, now_s()),
            flow(Next#state{unsent = queue:in({none, {update, Key, Session}}, Unsent)});
        absent -> % deleted meanwhile
            fill(Next)
    end;
fill(State) ->
    State.

%% A session that its owner still has when its life in the program nears its end is told anew:
%% OTP's servers look at ages when they come across a session, perhaps days later, and end if
%% it is not there. So what the program forgets by itself is only what it should not have.
look(#state{mode = Mode, look = Look, shadow = Shadow, config = #{lifetime := Lifetime}} = State) ->
    case now_s() of
        Now when Now >= Look, Mode =:= up ->
            begin_fill(sessioncache_shadow:stored_before(Shadow, Now - Lifetime), State);
        Now when Now >= Look, Mode =:= full ->
            begin_fill(sessioncache_shadow:all(Shadow), State);
        _ ->
            State
    end.

begin_fill(Keys, State) ->
    flow(State#state{mode = {fill, Keys}, look = next_look(State)}).

%% Half of the margin is for what happens between two looks, the other for clocks that
%% disagree: Erlang's runs up to 1 % fast or slow.
next_look(#state{config = #{margin := Margin}}) -> now_s() + Margin div 2.

%%% Answers

answered(Id, Answer, #state{waiting = Waiting, answers = Answers} = State0) ->
    State = State0#state{answers = Answers + 1},
    case {Waiting, Answer} of
        {#{Id := #asked{pages = Pages} = Asked}, {more, Page}} ->
            State#state{waiting = Waiting#{Id := Asked#asked{pages = [Page | Pages]}}};
        {#{Id := Asked}, _} ->
            reply(Asked, result(Asked, Answer, State)),
            flow(mode(Asked, Answer, State#state{waiting = maps:remove(Id, Waiting)}));
        {#{}, _} ->
            replace("it answers what nobody asked", State)
    end.

%% What an answer means for the mode. One to our own question comes first from a program, and
%% then when it has taken, or refused, all that it was told.
mode(#asked{from = none, request = size}, {ok, _}, #state{mode = down, shadow = Shadow} = State) ->
    begin_fill(sessioncache_shadow:all(Shadow), State);
mode(#asked{from = none, request = size}, {ok, _}, #state{mode = {fill, checked}} = State) ->
    State#state{mode = up};
mode(#asked{request = {update, _, _}}, {error, _, Text}, State) ->
    State#state.mode =:= full orelse
        ?LOG_WARNING("sessioncache: the port program refused a session: ~ts. max_sessions and max_bytes "
                     "should lie above what ssl stores", [Text]),
    State#state{mode = full};
mode(_, _, State) ->
    State.

reply(#asked{from = none}, _Result) -> ok;
reply(#asked{from = From}, Result) -> gen_server:reply(From, Result).

%% What the caller gets. What the program refused is in the shadow.
result(#asked{request = Request}, {error, _, _}, #state{shadow = Shadow}) ->
    sessioncache_shadow:ask(Shadow, Request);
result(_, absent, _) ->
    absent;
result(#asked{request = Request, pages = Pages}, {ok, Body}, _) ->
    case Request of
        {select, _} -> {pages, lists:reverse(Pages, [Body])};
        {fetch, _} -> {pages, lists:reverse(Pages, [Body])};
        keys -> {pages, lists:reverse(Pages, [Body])};
        _ -> {ok, Body}
    end.

%%% A program that hangs

watched(#state{watch = none, config = #{timeout := Timeout}} = State) ->
    State#state{watch = erlang:start_timer(Timeout, self(), watch), answers = 0};
watched(State) ->
    State.

%% A program that starts gets ten times the patience: nobody waits for it.
watch(#state{waiting = Waiting} = State) when map_size(Waiting) =:= 0 ->
    State;
watch(#state{answers = 0, mode = Mode, started = Started, config = #{timeout := Timeout}} = State) ->
    case Mode =:= down andalso now_ms() - Started < 10 * Timeout of
        true ->
            watched(State);
        false ->
            replace("it does not answer", State)
    end;
watch(State) ->
    watched(State).

now_s() -> erlang:monotonic_time(second).
now_ms() -> erlang:monotonic_time(millisecond).
