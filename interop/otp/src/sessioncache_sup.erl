%% Supervises the port owner of one cache. It is linked to the process that called init/1 of
%% the callback module and ends with it, for whatever reason, `normal' included.
-module(sessioncache_sup).
-behaviour(supervisor).

-export([start_link/2, init/1]).

-spec start_link(sessioncache_shadow:shadow(), sessioncache_port:config()) -> {ok, pid()}.
start_link(Shadow, Config) ->
    {ok, _} = supervisor:start_link(?MODULE, {Shadow, Config}).

-spec init({sessioncache_shadow:shadow(), sessioncache_port:config()}) ->
    {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init({Shadow, Config}) ->
    Port = #{id => port, start => {sessioncache_port, start_link, [Shadow, Config]}, shutdown => 2000},
    {ok, {#{intensity => 10, period => 10}, [Port]}}.
