-- ?1 at, ?2 queue, ?3 type, ?4 completed, ?5 retried, ?6 failed, ?7 other, ?8 wait, ?9 run
insert or replace into messenger_minutes (at, queue_name, message_type, completed, retried, failed, other, wait, run)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
