"""Stop words: the commonest function words of some languages, in lower case.

Short on purpose: articles, prepositions, conjunctions, pronouns and forms of "to be" and "to have".
Languages without an entry have no stop words: Armenian, Basque, Esperanto, Estonian, Irish, Lithuanian,
Nepali, Persian, Serbian, Sesotho, Tamil and Yiddish.
"""

from __future__ import annotations

_WORDS: dict[str, str] = {
    # The 33 that Lucene's `stop` and `english` analyzers take by default.
    "english": """
        a an and are as at be but by for if in into is it no not of on or such that the their then
        there these they this to was will with""",
    "arabic": """
        من في على إلى الى عن مع هذا هذه ذلك تلك التي الذي الذين اللذان اللتان هو هي هم هن أنا نحن
        أنت أو او و ثم أن إن ان كان كانت كانوا يكون تكون قد لقد كل بعض بين حتى إذا اذا كما لكن ما
        ماذا هناك عند بعد قبل أي اي فيه فيها به بها له لها لهم منه منها عليه عليها""",
    "catalan": """
        a al als amb aquest aquesta aquestes aquests com d de del dels des e el ella elles ells els
        en entre era es és està fins ha han hi i jo l la les li lo m més n ni nosaltres o on per
        perquè però pel pels què que s se sense ser seu seus seva seves si sobre són també te teu tu
        un una unes uns va van vosaltres""",
    "czech": """
        a aby aj ale ani až by byl byla byli bylo být co což do ho i já jak jako je jeho jej její
        jejich jen ještě ji jich jim již jsem jsi jsme jsou jste k kam kde kdo kdy když ke která
        které který kteří ku mezi mi mít mně my na nad nebo než o od on ona oni ono pak po pod podle
        pokud pro proč před přes při s se si své svůj ta tak také tato te tedy ten tento této to
        toho tohoto tom tomto tu ty u už v ve však vy z za ze že""",
    "danish": """
        af alle alt at blev blive bliver da de dem den denne der deres det dette dig din dine disse
        dit dog du efter eller en end er et for fra ham han hans har havde have hende hendes her hos
        hun hvad hvis hvor i jeg jer jo med mellem men mig min mine mit mod ned nogle nu når og også
        om op os over på samt sig sin sine sit skal skulle som så sådan thi til ud under var vi vil
        ville vor være været""",
    "dutch": """
        aan al als bij dan dat de der deze die dit doch door dus een en er ge had heb hebben heeft
        hem het hier hij hoe hun ik in is ja je kan kon maar me met mij mijn na naar nog nu of om
        omdat onder ons ook op over reeds te tegen ten ter tot u uit uw van veel voor want waren was
        wat we wel werd wie wij wordt worden zal ze zelf zich zij zijn zo zonder zou""",
    "finnish": """
        ei eivät en et että he heidän hän hänen itse ja jos joka jotka joita jolla jonka jossa josta
        kanssa koska kuin kun me mikä minkä missä mistä mitä mutta myös ne niiden niin nyt näiden
        näitä nämä ole olen olet oli olin olivat olla olleet ollut on ovat se sekä sen siinä siitä
        sinä sitä tai te tuo tähän tämä tämän tässä tästä tätä vaan vai vain""",
    "french": """
        à ai au aux avec c ce ces cet cette d dans de des du elle elles en est et étaient était être
        eu eux eût furent fut il ils j je l la le les leur leurs lui m ma mais me même mes moi mon n
        ne nos notre nous on ont ou où par pas pour qu que qui s sa sans se ses si soit son sont sur
        t ta te tes toi ton tu un une vos votre vous y""",
    "german": """
        aber als am an auch auf aus bei bin bis bist da damit dann das daß dass dein deine dem den
        der des dessen dich die dies diese diesem diesen dieser dieses dir doch dort du durch ein
        eine einem einen einer eines er es euch euer eure für habe haben hat hatte hatten hier
        hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ins ist jede jedem jeden jeder
        jedes jene jenem jenen jener jenes kann können mein meine mich mir mit muss nach nicht noch
        nun nur ob oder ohne sehr sein seine seinem seinen seiner seines sich sie sind so solche
        sondern sonst über um und uns unser unsere unter vom von vor während war waren was weil
        welche welchem welchen welcher welches wenn werde werden wie wieder wir wird wirst wo wurde
        wurden zu zum zur zwar zwischen""",
    "greek": """
        ο η το οι τα του της των τον την τους τις στο στη στην στον στους στις στα και κι αν να θα
        ως για από απο με μετά σε προς κατά παρά ότι οτι που πως πώς όπως αλλά αλλα ή ήταν είναι
        είχε έχει έχουν εγώ εσύ αυτός αυτή αυτό αυτοί αυτές αυτά εμείς εσείς μας σας μου σου ένας
        μια μία ένα δεν μην τι ποιος ποια ποιο""",
    "hindi": """
        का के की को में से है हैं था थे थी थीं और या पर एक यह ये वह वे इस इन उस उन इसका इसके इसकी
        उसका उसके उसकी इसे उसे इन्हें उन्हें उनका उनके उनकी इनका इनके इनकी ने भी ही तो कि जो जिस जिन
        जिसके जिसका जिसकी लिए तक साथ द्वारा हो होता होती होते हुआ हुई हुए रहा रही रहे गया गई गए कर
        करने किया अपना अपने अपनी वाला वाले वाली एवं तथा""",
    "hungarian": """
        a abban ahhoz ahogy aki akik akkor alatt amely amelyek amelyet ami amit annak arra az azok
        azon azonban azt aztán azzal be de e ebben egy egyik ehhez ekkor el ennek erre ez ezek ezen
        ezt ezzel és fel ha hanem hogy hogyan i így illetve is ki le lesz lett maga már még meg mert
        mi mint mit ne nem ő ők őket ott pedig s saját sem ti után úgy vagy van vannak volt voltak
        volna""",
    "indonesian": """
        ada adalah agar akan antara apa atau bagi bahwa banyak beberapa bukan dalam dan dapat dari
        dengan di dia hanya harus ia ini itu jika juga kami karena ke kepada kita maka mereka oleh
        pada para pun saat sangat saya sebagai sebuah secara sedang sehingga seperti serta suatu
        sudah telah tentang terhadap tersebut untuk yaitu yang""",
    "italian": """
        a ad agli ai al alla alle allo anche c che chi ci coi col come con cui d da dagli dai dal
        dalla dalle dallo degli dei del della delle dello di dove e è ed era erano essere fu furono
        gli ha hanno i il in io l la le lei li lo loro lui ma mi mia mie miei mio ne negli nei nel
        nella nelle nello noi non o per perché più quale quanta quanto quella quelle quelli quello
        questa queste questi questo se sei si sia sono su sua sue sugli sui sul sulla sulle sullo
        suo suoi ti tra tu tua tue tuo tuoi un una uno vi voi""",
    "norwegian": """
        alle at av ble bli blir da de deg dem den denne der dere deres det dette di din disse ditt
        du eller en enn er et ett etter for fra før ha hadde han hans har henne hennes her hos hun
        hva hvem hver hvilken hvis hvor hvordan i inn jeg kan med meg mellom men min mitt mot må ned
        noe noen nå når og også om opp oss over på samme seg selv si sin sine sitt skal skulle som
        så til ut uten var vi vil ville vår være vært""",
    "polish": """
        a aby ale ani aż bardzo bez bo by był była było były być ci cię co czy dla do gdy gdzie go i
        ich ile im ja jak jako je jednak jego jej jest jestem jeśli jeszcze już każdy kiedy kto
        która które którego której który którzy lub ma mi między mnie może my na nad nam nas nich
        nie nim niż o od on ona one oni ono oraz po pod ponieważ przed przez przy się są ta tak
        także tam te tego tej ten to tu tych tylko tym u w we więc z za ze że żeby""",
    "portuguese": """
        a à ao aos aquela aquelas aquele aqueles aquilo as às até com como da das de dela delas dele
        deles depois do dos e é ela elas ele eles em entre era eram essa essas esse esses esta está
        estão estas este estes eu foi foram há isso isto já lhe lhes mais mas me mesmo meu meus
        minha minhas muito na nas não nem no nos nós nossa nossas nosso nossos num numa o os ou para
        pela pelas pelo pelos por qual quando que quem são se sem ser seu seus só sua suas também te
        tem têm teu teus tinha tu tua tuas um uma umas uns você vocês""",
    "romanian": """
        a acea aceasta această aceea acei aceia acel acela acele acelea acest acesta aceste acestea
        acești aceștia ai aici al ale am ar are as aș asemenea asta astfel atât au avea avem aveți
        avut ca că când care căruia căror ce cea cei cel cele chiar ci cine cu cum da dacă dar de
        deci deja despre din după ea ei el ele era erau este eu fi fie fiecare fiind fost i iar il
        îi îl îmi în între își la le li lor lui mai mea mei mele meu mi ne nici noi nostru nu o ori
        pe pentru prin sa să sale sau său se sunt și te tot toți tu un una unde unei unii unor unui
        va voi vor""",
    "russian": """
        а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да даже
        для до его ее её если есть еще ещё же за здесь и из или им их к как ко когда кто ли либо
        между меня мне может мы на над надо нас не него нее неё нет ни них но ну о об однако он она
        они оно от очень по под при с со так также такой там те тем то того тоже той только том ты у
        уже хотя чего чей чем что чтобы чье чья эта эти это этого этой этом этот я""",
    "spanish": """
        a al algo algunas algunos ante antes como con contra cual cuando de del desde donde durante
        e el él ella ellas ellos en entre era eran es esa esas ese eso esos esta está están estas
        este esto estos fue fueron ha había habían han hasta hay la las le les lo los más me mi mis
        mucho muy nada ni no nos nosotros o os otra otras otro otros para pero por porque que qué
        quien quienes se sea ser si sí sido sin sobre son su sus también tanto te tiene tienen todo
        todos tu tus un una uno unos y ya yo""",
    "swedish": """
        alla allt att av blev bli blir de dem den denna deras dess dessa det detta dig din dina ditt
        du där då efter ej eller en er era ett från för ha hade han hans har henne hennes hon honom
        hur här i icke ingen inom inte jag ju kan kunde man med mellan men mig min mina mitt mot
        mycket ni nu när något några och om oss på samma sedan sig sin sina sitt skulle som så sådan
        till under upp ut utan vad var vara varför varit varje vars vem vi vid vilka vilken vilket
        vår våra är över""",
    "turkish": """
        ama ancak az bana bazı belki ben benim bir biri biz bize bizim bu buna bunda bundan bunlar
        bunu bunun da daha de değil diye en gibi hem hep her hiç için ile ise kadar ki kim mı mi mu
        mü nasıl ne neden niçin niye o olan olarak oldu olduğu olup ona ondan onlar onları onların
        onu onun sanki sen siz size sizin şey şu ve veya ya yani""",
}


def stop_words(language: str) -> frozenset[str]:
    """The stop words of a language; empty where there is no list."""
    return frozenset(_WORDS.get(language, "").split())
