//! `channel_listings`: the row follows its listing as the aggregate does.

use domain::channel::{RejectedPart, Section};
use domain::listing::{Cause, ListingCommand};
use domain::outcome::OutcomeClass;

use crate::database::in_database;
use crate::scene::{Scene, listing_id};
use crate::story::{sections, snapshot, target, unit};

const STATE: [&str; 5] = ["state", "generation", "external_id", "revision", "last_outcome"];

async fn state(scene: &Scene) -> String {
    scene.fields("channel_listings", "listing_id", listing_id(target(1), &unit(1)), &STATE).await
}

async fn field(scene: &Scene, field: &str) -> Option<String> {
    scene.field("channel_listings", "listing_id", listing_id(target(1), &unit(1)), field).await
}

#[tokio::test]
async fn follows_a_sync_from_request_to_acceptance() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let (target, unit) = (target(1), unit(1));
        scene.story.create_target(target);
        scene.story.link(target, &unit);
        scene.story.request(target, &unit, Cause::Linked, 3);
        let (sync_id, ..) = scene.story.pending(target, &unit).unwrap();
        scene.play().await;
        assert_eq!(state(&scene).await, "active 1 - 3 -");
        assert_eq!(field(&scene, "pending_sync_id").await, Some(sync_id.to_string()));
        assert_eq!(field(&scene, "accepted_snapshot").await, None);

        scene.story.end(target, &unit, Some(OutcomeClass::AcceptedWithRejections));
        scene.play().await;
        assert_eq!(state(&scene).await, "active 1 4711 3 accepted_with_rejections");
        assert_eq!(field(&scene, "pending_sync_id").await, None);
        assert_eq!(field(&scene, "accepted_snapshot").await, Some(format!("\\x{}", snapshot(&unit, 3))));
        assert_eq!(field(&scene, "rejected -> 0 ->> 'part'").await.as_deref(), Some("unit.amenities[4]"));

        scene.story.request_sections(target, &unit, Cause::UnitChanged, 4, sections(&Section::ALL, 3));
        scene.play().await;
        // The mapping leaves nothing out of this one.
        assert_eq!(state(&scene).await, "active 1 4711 4 skipped_unchanged");
        assert_eq!(field(&scene, "accepted_snapshot").await, Some(format!("\\x{}", snapshot(&unit, 4))));
        assert_eq!(field(&scene, "rejected").await.as_deref(), Some("[]"));
    })
    .await;
}

#[tokio::test]
async fn refused_parts_stand_until_their_section_is_sent_again() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let (target, unit) = (target(1), unit(1));
        scene.story.create_target(target);
        scene.story.link(target, &unit);
        let refused = |section, part: &str| RejectedPart {
            section,
            part: part.to_owned(),
            value: "45.0".to_owned(),
            reason: "Hostaway answered with success but kept 30".to_owned(),
        };
        let end = |scene: &mut Scene, sent: &[Section], parts: Vec<RejectedPart>| {
            let (sync_id, ordinal, wanted) = scene.story.pending(target, &unit).unwrap();
            let sent = wanted.into_iter().filter(|(section, _)| sent.contains(section)).collect();
            let mut report = scene.story.report((sync_id, ordinal, sent), Some(OutcomeClass::Accepted), 1);
            report.rejected = parts;
            scene.story.command_listing(target, &unit, ListingCommand::RecordOutcome(report));
        };
        let parts = "(SELECT string_agg(part ->> 'part', ' ') FROM jsonb_array_elements(rejected) part)";
        scene.story.request(target, &unit, Cause::Linked, 1);
        let fee = refused(Section::Content, "listing.cleaningFee");
        let night = refused(Section::Rates, "calendar[2026-12-30..2026-12-31].price");
        end(&mut scene, &Section::ALL, vec![fee, night]);
        scene.play().await;
        let both = "listing.cleaningFee calendar[2026-12-30..2026-12-31].price";
        assert_eq!(field(&scene, parts).await.as_deref(), Some(both));

        scene.story.request(target, &unit, Cause::UnitChanged, 2);
        end(&mut scene, &[Section::Availability, Section::Rates], Vec::new());
        scene.play().await;
        assert_eq!(field(&scene, parts).await.as_deref(), Some("listing.cleaningFee"), "content was not sent");

        scene.story.request(target, &unit, Cause::UnitChanged, 3);
        end(&mut scene, &[Section::Content], Vec::new());
        scene.play().await;
        assert_eq!(field(&scene, parts).await, None);
    })
    .await;
}

#[tokio::test]
async fn unlink_cancels_and_a_new_link_starts_over() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let (target, unit) = (target(1), unit(1));
        scene.story.create_target(target);
        scene.story.link(target, &unit);
        scene.story.request(target, &unit, Cause::Linked, 1);
        scene.story.end(target, &unit, Some(OutcomeClass::Accepted));
        scene.story.request(target, &unit, Cause::UnitChanged, 2);
        scene.story.command_listing(target, &unit, ListingCommand::Pause { reason: "holiday".to_owned() });
        scene.play().await;
        assert_eq!(state(&scene).await, "paused 1 4711 2 accepted");

        scene.story.command_listing(target, &unit, ListingCommand::Resume);
        scene.story.command_listing(target, &unit, ListingCommand::Unlink { reason: "sold".to_owned() });
        scene.play().await;
        assert_eq!(state(&scene).await, "unlinked 1 4711 2 cancelled");
        assert_eq!(field(&scene, "last_detail").await.as_deref(), Some("sold"));
        assert_eq!(field(&scene, "pending_sync_id").await, None);

        scene.story.link(target, &unit);
        scene.play().await;
        assert_eq!(state(&scene).await, "active 2 4711 - -");
        assert_eq!(field(&scene, "accepted_snapshot").await, None);
    })
    .await;
}

#[tokio::test]
async fn the_row_agrees_with_the_aggregate_when_an_older_job_is_accepted_late() {
    in_database(|pool| async move {
        let mut scene = Scene::new(pool);
        let (target, unit) = (target(1), unit(1));
        scene.story.create_target(target);
        scene.story.link(target, &unit);
        scene.story.request(target, &unit, Cause::Linked, 1);
        let under_way = scene.story.pending(target, &unit).unwrap();
        scene.story.request(target, &unit, Cause::UnitChanged, 2);
        let (next, ..) = scene.story.pending(target, &unit).unwrap();
        let report = scene.story.report(under_way, Some(OutcomeClass::Accepted), 1);
        scene.story.command_listing(target, &unit, ListingCommand::RecordOutcome(report));
        scene.play().await;
        assert_eq!(state(&scene).await, "active 1 4711 2 accepted");
        assert_eq!(field(&scene, "pending_sync_id").await, Some(next.to_string()));
        assert_eq!(field(&scene, "accepted_snapshot").await, None, "only a sync that is the latest takes all of it");
    })
    .await;
}
