//! The rules that a store may break.

macro_rules! faults {
    ($($fault:ident)*) => {
        /// A rule that a store breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Fault {
            /// It breaks none.
            None,
            $($fault),*
        }

        impl Fault {
            pub(super) const ALL: &[Self] = &[$(Self::$fault),*];
        }
    };
}

faults! {
    AppendAddsEntries
    AppendCreatesOfAnyEpoch
    AppendFailsMates
    AppendForgetsBatches
    AppendHidesRefusals
    AppendIgnoresEpochs
    AppendIgnoresHeads
    AppendKeepsOldCheckpoints
    AppendKeepsOldRows
    AppendKnowsOldBatches
    AppendLosesBlobs
    AppendLosesLastEvents
    AppendNormalizesPayloads
    AppendRefusesLargeCommits
    AppendRefusesLongCommits
    AppendRefusesLongNames
    AppendReordersEvents
    AppendTakesAnyName
    AppendTakesRepeatedRefusals
    AppendTearsCommits
    ApprovalsAreEverybodys
    ApprovalsAreNotResolved
    ApprovalsOutliveEvents
    ApprovalsOutliveWorkers
    BeginForgetsOwners
    BeginTakesAnId
    BeginTakesTheNewId
    BlobsAreEverybodys
    BlobsGoWithAnyWorker
    BlobsGoWithEvents
    CheckpointsGoBackByPrunes
    BundlesAreAllTheSame
    BundlesAreFoundByIds
    BundlesAreOverwritten
    BundlesAreReversed
    BundlesComeBeforeTheirKeys
    BundlesGoWithTheirMates
    BundlesIgnoreTheLimit
    ClaimsAreGivenTwice
    ClaimsForStrangers
    ClaimsLeaveWritersAlone
    CountsKeepTheDead
    CountsStayAtCreation
    DeletesAlwaysSayYes
    DeletesFreeIds
    EventsComeFromTheOldest
    EventsForgetTypes
    EventsOverrunBytes
    EventsOverrunCounts
    EventsPagesHaveGaps
    EventsStarveAtLargeOnes
    ExtentsForgetChecksums
    ExtentsForgetOldest
    HealthIsFull
    InputsAreEverybodys
    InputsGoWithEvents
    InputsIgnoreCase
    KeptAreCut
    KeptAreEverybodys
    KeptAreReversed
    KeptAreSortedByLetters
    KeptAreTheFirstOfACommit
    KeptAreTorn
    KeptGoWithEvents
    KeptLoseEmptyOnes
    KeptOfTheRefused
    KeptOutliveWorkers
    KeptOverrunBytes
    KeptOverrunCounts
    KeptPagesRepeat
    KeptStarveAtLargeOnes
    KeptStayAsTheyWere
    KeysAreCountedAsTheyCome
    KeysAreCountedTogether
    KeysAreEverybodys
    KeysAreLost
    KeysForgetTheOldest
    KeysGoAllAtOnce
    KeysGoWhateverTheirAge
    KeysGoWithWorkers
    KeysOfBundlesAreLost
    KeysOfKnownBundlesAreLost
    KeysOfRefusedBundles
    KeysOfTheRefused
    KeysStayAsTheyWere
    KeysWeighAsTheyCome
    KeysWeighTheirOutcomes
    ListsAreOneShort
    ListsAreReversed
    ListsEndAtTheDead
    ListsIgnoreAfter
    ListsIgnoreOrder
    ListsIgnoreStatus
    ListsPassOverTheSecond
    PrunesAreUnfenced
    PrunesForgetChecksums
    PrunesGarbleCheckpoints
    PrunesRefuseOlderPlaces
    PrunesTakeOneMore
    PrunesTakeStrangers
    ReopeningForgetsApprovals
    ReopeningForgetsBatches
    ReopeningForgetsEpochs
    ReopeningForgetsOwners
    ReopeningFreesIds
    ReopeningLosesBundles
    ReopeningLosesCommits
    ReopeningLosesKept
    ReopeningLosesKeys
    ReopeningLosesKeysOfBundles
    ReopeningLosesPrunes
    SlicesBeginAtTheBeginning
    SlicesForgetHeads
    SlicesPassOverMoreThanThereIs
    UnsettledAreAll
    UnsettledIgnoreAfter
}
