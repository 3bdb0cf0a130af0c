select kind, name, paused_at, paused_by, resumed_at is not null from symphony.messenger_pauses order by 1, 2
